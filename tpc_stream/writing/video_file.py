"""A video file while it is written: one encoder, one muxer, and the sound beside them."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from tpc_stream.errors import SinkError
from tpc_stream.writing.hardware import chosen_encoder
from tpc_stream.writing.output_file import empty_file, has_picture, open_for_muxer
from tpc_stream.writing.picture_coding import encoder_frame, tag_colours
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.soundtrack import SoundTrack, open_sound
from tpc_stream.writing.video_formats import Encoder, check_codec, container_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from tpc_stream.writing.sink_config import SinkConfig

_log = logging.getLogger(__name__)

_MPEG_TICKS, _MOST_TICKS = 90_000, 10_000_000  # a second; 32-bit durations then hold 7 minutes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


LEAST_TREE_BLOCKS = 16
"""x264's macroblock tree is not repeatable in pictures of very few blocks: equal frames of 64x48 pixels gave ten
different files in 48, and one without the tree; from 96x80 on, all 24 of each size were equal."""


class VideoFile:
    """Opened for the first picture, whose size it takes; what was at its path stays until the first `write`."""

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        first_seconds: Fraction,
        config: SinkConfig,
        sound: SoundSource | None,
    ) -> None:
        """size: (width, height) in pixels. first_seconds: time of the first picture.

        Raises SinkError for a size or codec that cannot be written, SourceError where the sound cannot be read.
        """
        self.path, self.frames = path, 0
        self._new, self._started, self._failed = not path.exists(), False, False
        self._config = config
        self._size = size
        container, encoder = container_of(path), check_codec(path, config.codec)
        if encoder.pixel_format == "yuv420p" and (size[0] % 2 or size[1] % 2):
            raise SinkError(f"{config.codec} video needs even width and height, got {size[0]}x{size[1]}: change --size")
        self._time_base = config.time_base or clock_of(config.rate, first_seconds)
        self._ticks: list[int] = []  # times of the frames that are still inside the encoder, oldest first
        self._last_ticks = 0
        self._delta = max(1, round(1 / (config.rate * self._time_base)))
        self._next_keyframe = 0
        self._rounded = False
        # avoid_negative_ts would move all times so that the first is 0; flush_packets keeps what is done on disk;
        # max_interleave_delta bounds what the muxer holds back where one of the two streams ends early.
        options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled", "flush_packets": "1"}
        options["max_interleave_delta"] = str(round(config.keyframe_seconds * 1_000_000))
        with self._errors("open"):
            self._file = open_for_muxer(path)
            self._output = av.open(
                self._file, "w", format=container.format, container_options={**options, **container.options}
            )
        self._sound: SoundTrack | None = None
        try:
            with self._errors("open"):
                self._stream = self._add_video(chosen_encoder(encoder, config.codec, size, config.hwaccel))
            if sound is not None:
                self._sound = open_sound(sound, output=self._output, encoder=container.sound_codec)
        except BaseException:
            self._release()
            self.remove_broken()
            raise

    def write(self, image: NDArray[np.uint8], pts_seconds: Fraction) -> None:
        """Encode one picture, and the sound up to it.

        image: HWC RGB uint8 of the file's size. pts_seconds: later than the picture before.
        Raises SinkError where either is not so, or where the disk is full.
        """
        if image.shape[:2] != (self._size[1], self._size[0]):
            raise SinkError(
                f"all frames of {self.path} have one size, {self._size[0]}x{self._size[1]}; frame {self.frames} has "
                f"{image.shape[1]}x{image.shape[0]}"
            )
        ticks = self._in_ticks(pts_seconds)
        frame = encoder_frame(image, self._stream.codec_context.pix_fmt or "yuv420p")
        frame.pts, frame.time_base = ticks, self._time_base
        if ticks >= self._next_keyframe:
            frame.pict_type = av.video.frame.PictureType.I
            self._next_keyframe = ticks + round(Fraction(self._config.keyframe_seconds) / self._time_base)
        self._ticks.append(ticks)
        with self._errors("write"):
            if not self._started:
                self._started = True
                empty_file(self._file)
                self._output.start_encoding()
            packets = self._stream.encode(frame)
        self._mux(packets)
        self.frames += 1

    @property
    def end_seconds(self) -> Fraction:
        """When the last picture ends, taking it as long as the one before."""
        return (self._last_ticks + self._delta) * self._time_base if self.frames else Fraction(0)

    def close(self) -> None:
        """Write what is still inside the encoders and finish the file. Raises SinkError where the disk is full."""
        try:
            if self.frames:
                with self._errors("finish"):
                    packets = self._stream.encode(None)
                self._mux(packets)
                if self._sound is not None:
                    self._write_sound(self._sound.packets(self.end_seconds))
                    self._write_sound(self._sound.flush())
        except BaseException as error:
            try:
                self._release()
            except SinkError as second:  # a full disk fails every write; the first error is the one to tell
                error.add_note(str(second))
            raise
        self._release()

    def remove_broken(self) -> bool:
        """Remove a file in which no picture plays, unless it is not this run's; tells whether that was so."""
        if (self.frames and not self._failed) or not (self._new or self._started):
            return False
        if self.frames and has_picture(self.path):
            return False
        self.path.unlink(missing_ok=True)
        return True

    def _release(self) -> None:
        try:
            if self._sound is not None:
                self._sound.close()
        finally:
            with self._errors("finish"):
                try:
                    self._output.close()
                finally:
                    self._file.close()

    def _add_video(self, encoder: Encoder) -> VideoStream:
        config, name, pixel_format = self._config, encoder.name, encoder.pixel_format
        options = {key: value.format(threads=config.threads) for key, value in encoder.options.items()}
        if encoder.default_crf is not None:
            options[encoder.quality] = str(encoder.default_crf if config.crf is None else config.crf)
        if name == "libx264" and _blocks(*self._size) < LEAST_TREE_BLOCKS:
            options["x264-params"] = "mbtree=0"
        if name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # it prints its settings on stderr otherwise
        stream: VideoStream = self._output.add_stream(name, rate=config.rate, options=options)  # type: ignore[assignment]
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = pixel_format
        context.time_base = stream.time_base = self._time_base
        context.thread_count = config.threads
        context.max_b_frames = 0
        if name in ("libx265", "hevc_nvenc"):
            context.codec_tag = "hvc1"  # Apple's players take no other in MP4; Matroska has no tags
        context.gop_size = 1 if name == "ffv1" else 1 << 15  # key frames are asked for by time, in `write`
        tag_colours(context, pixel_format)
        return stream

    def _in_ticks(self, pts_seconds: Fraction) -> int:
        exact = pts_seconds / self._time_base
        ticks = round(exact)
        if ticks != exact and not self._rounded:
            self._rounded = True
            _log.info("frame times are rounded to the time base %s of %s", self._time_base, self.path)
        if self.frames:
            if ticks <= self._last_ticks:
                raise SinkError(
                    f"frame times must grow, got {float(pts_seconds):.6f} s after "
                    f"{float(self._last_ticks * self._time_base):.6f} s at time base {self._time_base}"
                )
            self._delta = ticks - self._last_ticks
        self._last_ticks = ticks
        return ticks

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            # Without B-frames packets leave in the order of the frames; the next frame tells how long this one lasts.
            started = packet.pts or 0
            while self._ticks and self._ticks[0] <= started:
                del self._ticks[0]
            packet.duration = self._ticks[0] - started if self._ticks else self._delta
            # Sound goes in by the packets, not by the frames: how many frames an encoder holds back may depend on its
            # threads, and then so would the order in the file.
            if self._sound is not None:
                self._write_sound(self._sound.packets(started * self._time_base))
            with self._errors("write"):
                self._output.mux_one(packet)

    def _write_sound(self, packets: Iterator[Packet[AudioStream]]) -> None:
        for packet in packets:
            with self._errors("write"):
                self._output.mux_one(packet)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._failed = True
            if isinstance(error, SinkError):
                raise
            if error.errno in _FULL:
                raise SinkError(
                    f"no space left for {self.path} after {self.frames} frames ({error.strerror}): "
                    "free some, or write to another disk"
                ) from error
            raise SinkError(f"cannot {doing} {self.path}: {error.strerror}") from error


def clock_of(rate: Fraction, first_seconds: Fraction) -> Fraction:
    """Seconds in a tick: MPEG's 1/90000, made finer so that the first time and a constant rate are exact."""
    ticks = lcm(_MPEG_TICKS, rate.numerator, first_seconds.denominator)
    return Fraction(1, ticks if ticks <= _MOST_TICKS else _MPEG_TICKS)


def _blocks(width: int, height: int) -> int:
    """Macroblocks of 16x16 pixels in a picture."""
    return -(-width // 16) * -(-height // 16)
