"""The end of the pipeline: frames become a network stream, as late as it must be and no later."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.hwaccel import HwAccel
from tpc_stream.writing.destination import STREAM_FORMATS, scheme_of
from tpc_stream.writing.hardware import chosen_encoder
from tpc_stream.writing.outlet import Outlet
from tpc_stream.writing.picture_coding import encoder_frame, tag_colours
from tpc_stream.writing.sender import INNER_FORMAT, Sender
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.soundtrack import SoundTrack, open_sound
from tpc_stream.writing.video_formats import Encoder

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_TIME_BASE = Fraction(1, 90_000)
_SOFTWARE = Encoder("libx264", 23, 51, options={"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """How a network stream is made."""

    crf: int = 23
    """Quality of h264, lower is better and larger; NVENC takes the same number on a scale of its own."""
    frame_rate: Fraction = Fraction(25)
    """Pictures a second, nominally; the frames keep their own times."""
    keyframe_seconds: float = 1.0
    """Seconds between key frames: how long a viewer who joins waits for the first picture."""
    timeout_seconds: float = 5.0
    """A receiver that does not answer, or takes nothing, for so long counts as gone."""
    hwaccel: HwAccel = "none"
    """Whether NVENC encodes; where it cannot, software does, and it is told."""

    def __post_init__(self) -> None:
        for name in ("frame_rate", "keyframe_seconds", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} of a stream must be above zero, got {getattr(self, name)}")
        if not 0 <= self.crf <= 51:
            raise InputError(f"h264 takes a crf from 0 (best) to 51, got {self.crf}")


def write_stream(
    frames: Iterable[AnimatedFrame], url: str, *, config: StreamConfig | None = None, sound: SoundSource | None = None
) -> Generator[AnimatedFrame, None, None]:
    """A stage that sends every frame to `url` in h264 and passes it on: FLV to rtmp, MPEG-TS to udp and tcp, rtsp.

    The encoder holds no frame back. The stream is closed when the frames end and when anything is raised.
    Raises SinkError: nobody listens, the receiver has gone, a size that cannot be coded; SourceError for the sound.
    """
    return _write(frames, url, config or StreamConfig(), sound)


def _write(
    frames: Iterable[AnimatedFrame], url: str, config: StreamConfig, sound: SoundSource | None
) -> Generator[AnimatedFrame, None, None]:
    stream: _Stream | None = None
    try:
        for frame in frames:
            if stream is None:
                stream = _Stream(url, frame.image.shape[1], frame.image.shape[0], config, sound)
            stream.write(frame.image, frame.pts_seconds)
            yield frame
    except GeneratorExit:
        if stream is not None:
            stream.close()
        raise
    except BaseException as error:
        if stream is not None:
            try:
                stream.close()
            except SinkError as second:
                error.add_note(str(second))
        raise
    if stream is None:
        raise SinkError(f"no frame reached the output, so nothing was sent to {url}: check the range and the source")
    stream.close()


class _Stream:
    def __init__(self, url: str, width: int, height: int, config: StreamConfig, sound: SoundSource | None) -> None:
        if width % 2 or height % 2:
            raise SinkError(f"h264 video needs even width and height, got {width}x{height}: change --size")
        self._url, self._config, self._frames = url, config, 0
        self._last = -1
        self._next_keyframe = 0
        self._outlet: Outlet | Sender | None = None
        self._container: OutputContainer | None = None
        self._sound: SoundTrack | None = None
        self._broken = False
        try:
            self._output = self._container = self._open()
            with self._errors("open"):
                self._stream = self._add_video(self._output, width, height)
            if sound is not None:
                self._sound = open_sound(sound, output=self._output, encoder="aac")
            with self._errors("open"):
                self._output.start_encoding()
        except BaseException:
            self._broken = True
            self._release()
            raise

    def write(self, image: NDArray[np.uint8], pts_seconds: Fraction) -> None:
        """Send one picture, HWC RGB uint8, and the sound up to it."""
        ticks = round(pts_seconds / _TIME_BASE)
        if ticks <= self._last:
            raise SinkError(f"frame times must grow, got {float(pts_seconds):.6f} s after {self._last / 90_000:.6f} s")
        self._last = ticks
        frame = encoder_frame(image, "yuv420p")
        frame.pts, frame.time_base = ticks, _TIME_BASE
        if ticks >= self._next_keyframe:
            frame.pict_type = av.video.frame.PictureType.I
            self._next_keyframe = ticks + round(self._config.keyframe_seconds * 90_000)
        with self._errors("send on"):
            if self._sound is not None:
                for packet in self._sound.packets(pts_seconds):
                    self._output.mux_one(packet)
            self._output.mux(self._stream.encode(frame))
        self._frames += 1

    def close(self) -> None:
        """Send what is left, say goodbye and hang up. Raises SinkError where the receiver has gone before."""
        if self._broken:
            self._release()
            return
        try:
            with self._errors("end"):
                self._output.mux(self._stream.encode(None))
                self._output.close()
                if isinstance(self._outlet, Sender):
                    self._outlet.finish()
        finally:
            self._release()

    def _release(self) -> None:
        try:
            if self._sound is not None:
                self._sound.close()
            if self._container is not None:
                self._container.close()
        except (av.FFmpegError, OSError):
            if not self._broken:  # the first error was told; a receiver that has gone cannot be said goodbye to
                raise
        finally:
            if self._outlet is not None:
                self._outlet.close()

    def _open(self) -> OutputContainer:
        scheme, limit = scheme_of(self._url), self._config.timeout_seconds
        format, options = STREAM_FORMATS[scheme], {"flush_packets": "1"}
        with self._errors("open"):
            if format == "mpegts":
                self._outlet = Outlet(self._url, timeout_seconds=limit)
            else:
                self._outlet = Sender(self._url, format=format, timeout_seconds=limit)
                format, options["flvflags"] = INNER_FORMAT, "no_duration_filesize"
            return av.open(self._outlet, "w", format=format, container_options=options)

    def _add_video(self, output: OutputContainer, width: int, height: int) -> VideoStream:
        config = self._config
        encoder = chosen_encoder(_SOFTWARE, "h264", (width, height), config.hwaccel, live=True)
        options = dict(encoder.options) | {encoder.quality: str(config.crf)}
        stream: VideoStream = output.add_stream(encoder.name, rate=config.frame_rate, options=options)  # type: ignore[assignment]
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = stream.time_base = _TIME_BASE
        context.thread_count = 1
        context.max_b_frames = 0
        context.gop_size = 1 << 15  # key frames are asked for by time, in `write`
        tag_colours(context, "yuv420p")
        return stream

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._broken = True
            if isinstance(error, SinkError):
                raise
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if doing == "open":
                raise SinkError(
                    f"nobody takes the stream at {self._url} ({words}): start the receiver first"
                ) from error
            raise SinkError(
                f"cannot {doing} the stream to {self._url} after {self._frames} frames ({words}): "
                "look at the receiver, and start again"
            ) from error
