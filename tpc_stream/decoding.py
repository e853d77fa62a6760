"""From an open container to timed frames: seeking, exact times, broken packets, what is missing at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

import av
import av.error
from av.video.stream import VideoStream

from tpc_stream.container import Media
from tpc_stream.source_info import SourceRange, SourceReport

DEFAULT_RATE = Fraction(25)
"""Frames a second where a source states neither times nor a rate (FFmpeg's own default for raw streams)."""
SEEK_BACK_SECONDS = (0, 1, 4, 16, 10**9)
"""How far before the wanted time a seek aims, one try after the other; the last means the first frame."""
MISSING_TOLERANCE_FRAMES = 1
"""Fewer frames than this short of the stated duration are taken for rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class TimedFrame:
    """A decoded frame and when it is to be shown."""

    frame: av.VideoFrame
    seconds: Fraction
    """On the container's clock, strictly rising."""
    stated: bool
    """The time is the source's own, not worked out from the rate."""
    captured_seconds: float
    """time.perf_counter() when its data arrived (live) or when it was decoded."""


def decode_range(media: Media, wanted: SourceRange, report: SourceReport) -> Iterator[TimedFrame]:
    """The frames of the range, with their times relative to the range's start.

    Counts, warns and ends early where packets are broken or the source breaks off: see SourceReport.
    """
    frames = _timed(media, report)
    first = next(frames, None)
    if first is None:
        return
    origin = first.seconds
    if wanted.start > 0 and first.stated and not media.live:
        frames.close()
        frames = _from_keyframe_before(media, origin + wanted.start, origin, report)
    else:
        frames = chain((first,), frames)
    count, last = 0, first
    for last in frames:
        seconds = last.seconds - origin
        if wanted.end is not None and seconds >= wanted.end:
            return
        if seconds >= wanted.start:
            yield replace(last, seconds=seconds - wanted.start)
            count += 1
            if count == wanted.max_frames:
                return
    if not media.live:
        report.frames_missing += _missing(media, wanted, last=last, origin=origin, count=count)


def expected_frames(media: Media) -> int | None:
    """How many frames the container promises, or None where it does not count them."""
    for key, value in media.stream.metadata.items():
        if key.startswith("NUMBER_OF_FRAMES") and value.isdigit():
            return int(value)
    if not media.stream.frames:
        return None
    # An edit list hides samples that the track's own number still counts; the index knows.
    listed = sum(not entry.is_discard for entry in media.stream.index_entries)
    return min(listed, media.stream.frames) if listed and "mp4" in media.container.format.name else media.stream.frames


def duration_seconds(media: Media) -> Fraction | None:
    """How long the pictures last, or None where the container does not say."""
    stream, container = media.stream, media.container
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    for key, value in stream.metadata.items():
        if key.startswith("DURATION") and re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", value):
            hours, minutes, seconds = value.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _timed(media: Media, report: SourceReport) -> Iterator[TimedFrame]:
    """All frames from the container's position on, in the order of showing."""
    step = 1 / (media.rate or DEFAULT_RATE)
    last: Fraction | None = None
    for frame, captured in _decoded(media, report):
        base = frame.time_base or media.stream.time_base
        seconds = None if frame.pts is None or base is None else frame.pts * base
        stated = seconds is not None and (last is None or seconds > last)
        if seconds is None or not stated:
            seconds = Fraction(0) if last is None else last + step
            report.repaired_times += 1
        last = seconds
        yield TimedFrame(frame, seconds, stated, captured)


def _decoded(media: Media, report: SourceReport) -> Iterator[tuple[av.VideoFrame, float]]:
    """Decoded frames with their capture times; what cannot be decoded is counted and left out."""
    for packet in _packets(media, report):
        arrived = time.perf_counter()
        if packet.is_corrupt:
            report.corrupt_packets += 1
            continue
        try:
            frames = media.decoder.decode(packet)
        except av.error.EOFError:
            return
        except av.FFmpegError:
            report.corrupt_packets += 1
            continue
        for frame in frames:
            yield frame, arrived if media.live else time.perf_counter()


def _packets(media: Media, report: SourceReport) -> Iterator[av.Packet[VideoStream]]:
    """The stream's packets; a read error ends them, and the report says why."""
    try:
        yield from media.container.demux(media.stream)
    except av.FFmpegError as error:
        report.interrupted = " ".join(str(error).split())
        report.warn(f"{media.url} broke off: {report.interrupted}")


def _from_keyframe_before(
    media: Media, target: Fraction, origin: Fraction, report: SourceReport
) -> Iterator[TimedFrame]:
    """Frames from a keyframe at or before the target on; from the first frame if no seek lands there."""
    base = media.stream.time_base or Fraction(1, av.time_base)
    counted = report.corrupt_packets, report.repaired_times
    for back in SEEK_BACK_SECONDS:
        goal = max(origin, target - back)
        media.container.seek(int(goal // base), stream=media.stream)
        media.decoder.flush_buffers()
        report.corrupt_packets, report.repaired_times = counted
        frames = _timed(media, report)
        first = next(frames, None)
        # An index by decoding time, or an open group of pictures, may land behind the target.
        if first is not None and first.stated and (first.seconds <= target or goal == origin):
            return chain((first,), frames)
        if goal == origin:
            break
    return iter(())


def _missing(media: Media, wanted: SourceRange, *, last: TimedFrame, origin: Fraction, count: int) -> int:
    """Frames of the range that the container promised and that did not come."""
    expected = expected_frames(media)
    if expected is not None and wanted.start == 0 and wanted.end is None:
        return max(0, (expected if wanted.max_frames is None else min(expected, wanted.max_frames)) - count)
    duration = duration_seconds(media)
    if duration is None or media.rate is None:
        return 0
    shown = max(1 / media.rate, last.frame.duration * (last.frame.time_base or Fraction(0)))
    promised = duration if wanted.end is None else min(duration, wanted.end)
    missing = round((promised - (last.seconds - origin + shown)) * media.rate)
    # A duration is rounded, and the sound may be the one that lasts it: one frame proves nothing.
    return missing if missing > MISSING_TOLERANCE_FRAMES else 0
