"""Segments become one video by copying their packets: nothing is coded again. The sound comes in here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from tpc_stream.errors import MediaError, SinkError
from tpc_stream.writing.output_file import open_for_muxer
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.soundtrack import SoundTrack, open_sound
from tpc_stream.writing.video_formats import container_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_INTERLEAVE_SECONDS = 2.0
"""What the muxer holds back at most where one of the streams ends early; as when a video is written in one go."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What was written."""

    frames: int
    first_seconds: Fraction
    last_seconds: Fraction
    """Time of the last frame."""
    end_seconds: Fraction
    """When it ends."""


def join_segments(segments: Sequence[Path], path: Path, *, sound: SoundSource | None) -> Joined:
    """Copies the segments' pictures, in order, and the sound beside them.

    Raises SinkError where a segment does not go on where the one before it ended, or `path` cannot be written.
    """
    container = container_of(path)
    options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled", **container.options}
    options["max_interleave_delta"] = str(round(_INTERLEAVE_SECONDS * 1_000_000))
    with _errors(path), open_for_muxer(path) as file:
        with av.open(file, "w", format=container.format, container_options=options) as output:
            return _copy(segments, output, sound, encoder=container.sound_codec)


def check_joined(path: Path, joined: Joined) -> None:
    """Reads the packets of the finished file. Raises SinkError unless all frames are there, at their times."""
    try:
        with av.open(f"file:{path}") as file:
            stream = file.streams.video[0]
            tick = stream.time_base or Fraction(1)
            times = sorted(packet.pts for packet in file.demux(stream) if packet.size and packet.pts is not None)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise SinkError(f"the joined video {path} cannot be read back ({error}): resume to join it anew") from error
    found = (len(times), times[0] * tick if times else None, times[-1] * tick if times else None)
    # Matroska keeps whole milliseconds
    near = all(
        got is not None and abs(got - wanted) <= tick
        for got, wanted in zip(found[1:], (joined.first_seconds, joined.last_seconds), strict=True)
    )
    if found[0] != joined.frames or len(set(times)) != len(times) or not near:
        raise SinkError(
            f"the joined video {path} has {found[0]} frames from {found[1]} s to {found[2]} s, expected "
            f"{joined.frames} from {joined.first_seconds} s to {joined.last_seconds} s: resume to join it anew"
        )


def _copy(segments: Sequence[Path], output: OutputContainer, sound: SoundSource | None, *, encoder: str) -> Joined:
    with av.open(f"file:{segments[0]}") as first:
        template = first.streams.video[0]
        video = output.add_stream_from_template(template, opaque=True)
        video.time_base = template.time_base
        video.codec_context.codec_tag = template.codec_context.codec_tag  # hvc1 would become hev1
        header, tick = template.codec_context.extradata, template.time_base or Fraction(1)
        track = None if sound is None else open_sound(sound, output=output, encoder=encoder)
    try:
        return _mux(segments, output, video, track, header=header, tick=tick)
    finally:
        if track is not None:
            track.close()


def _mux(
    segments: Sequence[Path],
    output: OutputContainer,
    video: VideoStream,
    track: SoundTrack | None,
    *,
    header: bytes | None,
    tick: Fraction,
) -> Joined:
    frames, first, last, length = 0, 0, -1, 0
    waiting: Packet[VideoStream] | None = None
    for packet in _packets(segments, header=header, tick=tick):
        time = packet.pts or 0
        if frames and time <= last:
            raise SinkError(f"the segments do not follow each other: {float(time * tick):.3f} s comes twice")
        if waiting is not None:
            waiting.duration = time - last  # a segment's last frame cannot know when the next segment begins
            _write(output, waiting, video, track, tick)
        first, last, length = (time if not frames else first), time, packet.duration or length
        frames, waiting = frames + 1, packet
    if waiting is None:
        raise SinkError("no segment has a picture: nothing was joined")
    _write(output, waiting, video, track, tick)
    end = (last + length) * tick
    if track is not None:
        for piece in _rest(track, end):
            output.mux_one(piece)
    return Joined(frames, first * tick, last * tick, end)


def _write(
    output: OutputContainer, packet: Packet[VideoStream], video: VideoStream, track: SoundTrack | None, tick: Fraction
) -> None:
    if track is not None:
        for piece in track.packets((packet.pts or 0) * tick):
            output.mux_one(piece)
    packet.stream = video
    output.mux_one(packet)


def _rest(track: SoundTrack, end: Fraction) -> Iterator[Packet[AudioStream]]:
    yield from track.packets(end)
    yield from track.flush()


def _packets(segments: Sequence[Path], *, header: bytes | None, tick: Fraction) -> Iterator[Packet[VideoStream]]:
    for segment in segments:
        with av.open(f"file:{segment}") as file:
            stream = file.streams.video[0]
            if stream.codec_context.extradata != header or stream.time_base != tick:
                raise SinkError(f"{segment} was encoded in another way than the first: remove it and resume")
            for packet in file.demux(stream):
                if packet.size:
                    yield packet


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, MediaError):
            raise
        raise SinkError(
            f"cannot join the segments to {path}: {error.strerror}; they are kept, free some space and resume"
        ) from error
