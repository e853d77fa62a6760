"""The sound of the driving video: which part of it is wanted, and its packets, copied as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from tpc_stream.errors import InputError, SourceError
from tpc_stream.reading.inputs import is_url

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

SEEK_BACK_SECONDS = Fraction(1)
"""How far before the range reading starts; a packet of sound is far shorter, so none of the range is missed."""


@dataclass(frozen=True, slots=True)
class SoundSource:
    """Which sound goes with the frames."""

    url: str
    """File or URL of the driving video; it is opened a second time, so a camera or live stream has no sound here."""
    track: int = 0
    """Which of its audio tracks, from 0."""
    start_seconds: Fraction = Fraction(0)
    """The time stamp in the source that is 0 in the output, on the container's own clock (`SourceInfo.origin_seconds`
    plus the start of the range): sound before it is dropped."""
    end_seconds: Fraction | None = None
    """The time stamp where the range ends (half-open), on the same clock; None for as long as there are frames."""

    def __post_init__(self) -> None:
        if self.track < 0:
            raise InputError(f"audio tracks are counted from 0, got {self.track = }")
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise InputError(f"the range of the sound is empty: {self.start_seconds = } {self.end_seconds = }")

    def until(self, seconds: Fraction) -> Fraction:
        """`seconds` of the output, or the end of the range where that comes first."""
        return seconds if self.end_seconds is None else min(seconds, self.end_seconds - self.start_seconds)


def count_audio_tracks(url: str) -> int:
    """How many audio tracks a file or URL has. Raises SourceError where it cannot be opened."""
    with open_source(url) as source:
        return len(source.streams.audio)


class CopiedSound:
    """Packets taken over as they are, their times shifted; cut at whole packets, about 20 ms."""

    def __init__(
        self, source: SoundSource, container: InputContainer, stream: AudioStream, output: OutputContainer
    ) -> None:
        self._source, self._container = source, container
        self._target = output.add_stream_from_template(stream, opaque=True)
        if language := stream.metadata.get("language"):
            self._target.metadata["language"] = language
        self._packets = timed_packets(container, stream, source.start_seconds)
        self._waiting: Packet[AudioStream] | None = next(self._packets, None)

    def packets(self, until_seconds: Fraction) -> Iterator[Packet[AudioStream]]:
        until = self._source.until(until_seconds)
        while (packet := self._waiting) is not None and (packet.pts or 0) * packet.time_base < until:
            packet.stream = self._target
            yield packet
            self._waiting = next(self._packets, None)

    def flush(self) -> Iterator[Packet[AudioStream]]:
        return iter(())

    def close(self) -> None:
        self._container.close()


def timed_packets(
    container: InputContainer, stream: AudioStream, start_seconds: Fraction, *, keep_seconds: Fraction = Fraction(0)
) -> Iterator[Packet[AudioStream]]:
    """The packets of `stream` from `keep_seconds` before `start_seconds` on, their times counted from the start.

    Raises SourceError where the source cannot be read on.
    """
    try:
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            shift = round(start_seconds / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts  # sound has no reordering; some files leave dts out
            if packet.pts * packet.time_base >= -keep_seconds:
                yield packet
    except av.FFmpegError as error:
        raise SourceError(f"the sound of {container.name} cannot be read on: {error.strerror}") from error


def open_source(url: str) -> InputContainer:
    """Open a file or URL for its sound. Raises SourceError where that fails."""
    try:
        # Without the protocol's name a colon in a file's name would be taken for one.
        return av.open(url if is_url(url) else f"file:{url}")
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"the sound cannot be read from {url}: {error.strerror}") from error
