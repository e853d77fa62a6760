"""When every frame of a video file is shown, read off its packets, without decoding one."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from tpc_stream.errors import SourceError
from tpc_stream.reading.container import Media, open_media
from tpc_stream.reading.container_counts import missing_frames
from tpc_stream.reading.decoding import MAX_SLACK_SECONDS, frame_step
from tpc_stream.reading.source_info import SourceOptions, SourceRange


class IndexMismatchError(SourceError):
    """What was decoded is not what the index promised, so the video cannot be cut by it."""


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The frames of a video file, in the order of showing."""

    ticks: tuple[int, ...]
    """Time of each frame in units of `time_base`, the first frame's being 0."""
    time_base: Fraction
    """Seconds."""
    digest: str
    """sha256 over times, sizes and kinds of all packets: another video has another one."""
    trouble: str = ""
    """Why the video cannot be cut by this index; empty: it can."""

    @property
    def slack(self) -> Fraction:
        """How far before a range's bound a frame may lie and still count as on it, seconds: see `decode_range`."""
        return min(self.time_base / 2, MAX_SLACK_SECONDS)

    def seconds(self, frame: int) -> Fraction:
        """When the frame is shown, after the source's first."""
        return self.ticks[frame] * self.time_base

    def first_at(self, seconds: Fraction) -> int:
        """The first frame that is shown at `seconds` or later; the number of frames where there is none."""
        return bisect_left(self.ticks, (seconds - self.slack) / self.time_base)

    def frames_of(self, wanted: SourceRange) -> range:
        """The frames that a range asks for, as `read_frames` would give them."""
        first = self.first_at(wanted.start)
        end = len(self.ticks) if wanted.end is None else self.first_at(wanted.end)
        return range(first, end if wanted.max_frames is None else min(end, first + wanted.max_frames))


def read_index(path: str | Path) -> FrameIndex:
    """Reads all packets' headers, about 200 000 a second. Raises SourceError where the file cannot be opened."""
    with open_media(str(path), SourceOptions()) as media:
        return _index(media)


def _index(media: Media) -> FrameIndex:
    digest, times, trouble = hashlib.sha256(), list[int](), ""
    if media.decoding_times_only:
        trouble = "its container does not say when pictures are shown"
    elif media.stream.time_base is None:
        trouble = "its container has no clock"
    try:
        for packet in media.container.demux(media.stream):
            if not packet.size:
                continue
            digest.update(f"{packet.pts} {packet.dts} {packet.size} {packet.is_keyframe};".encode())
            if packet.is_discard:
                continue
            if packet.is_corrupt:
                trouble = trouble or "it has damaged data"
            if packet.pts is None:
                trouble = trouble or "not all of its pictures have a time"
            else:
                times.append(packet.pts)
    except av.FFmpegError as error:
        trouble = trouble or f"it breaks off ({error.strerror})"
    times.sort()
    if not times:
        trouble = trouble or "it has no picture"
    elif len(set(times)) < len(times):
        trouble = trouble or "several of its pictures have the same time"
    first = times[0] if times else 0
    base = media.stream.time_base or Fraction(1)
    if times and not trouble:
        until = (times[-1] - first) * base + frame_step(media)
        missing = missing_frames(media, SourceRange(), count=len(times), shown_until=until)
        trouble = f"it has {len(times)} frames, {missing} fewer than its header promises" if missing else ""
    return FrameIndex(tuple(time - first for time in times), base, digest.hexdigest(), trouble)
