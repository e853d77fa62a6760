"""From an open container to timed frames: seeking, exact times, broken packets, what is missing at the end."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

import av
import av.error
from av.video.stream import VideoStream

from tpc_stream.reading.container import Media, open_media
from tpc_stream.reading.container_counts import missing_frames
from tpc_stream.reading.hardware import tell_if_in_software
from tpc_stream.reading.running_clock import RunningClock
from tpc_stream.reading.source_info import SourceRange, SourceReport

DEFAULT_RATE = Fraction(25)
"""Frames a second where a source states neither times nor a rate (FFmpeg's own default for raw streams)."""
SEEK_BACK_SECONDS = (0, 1, 4, 16)
"""How far before the wanted time a seek aims, one try after the other."""
MAX_SLACK_SECONDS = Fraction(1, 2000)
"""How far a time may lie before a range's bound and still count as on it: half of Matroska's tick."""


@dataclass(frozen=True, slots=True, eq=False)
class TimedFrame:
    """A decoded frame and when it is to be shown."""

    frame: av.VideoFrame
    seconds: Fraction
    """Strictly rising; on the container's clock, and after decode_range from the range's start on."""
    stated: bool
    """The time is the source's own, not worked out from the rate."""
    captured_seconds: float
    """time.perf_counter() when its data arrived (live) or when it was decoded."""
    origin_seconds: Fraction = Fraction(0)
    """The container's clock at the source's first frame."""


@dataclass(slots=True)
class _Tally:
    """How many packets went into the decoder and have neither come out as frames nor as errors."""

    pending: int = 0


def decode_range(media: Media, wanted: SourceRange, report: SourceReport) -> Iterator[TimedFrame]:
    """The frames of the range, with their times relative to the range's start.

    Counts, warns and ends early where packets are broken or the source breaks off: see SourceReport.
    """
    tally = _Tally()
    opening = _timed(media, report, tally)
    first = next(opening, None)
    if first is None:
        return
    origin = first.seconds
    seekable = first.stated and not (media.live or media.decoding_times_only)
    frames: Iterator[TimedFrame] = chain((first,), opening)
    if wanted.start > 0 and seekable:
        opening.close()
        frames = _from_keyframe_before(media, origin + wanted.start, origin, report, tally)
    if seekable:
        frames = _with_tail(frames, media, origin, report, tally)
    # Matroska rounds times to its tick; a start of 61/30 s still means the frame that is stamped 2.033 s.
    slack = min((first.frame.time_base or Fraction(0)) / 2, MAX_SLACK_SECONDS)
    count, last = 0, first
    for last in frames:
        seconds = last.seconds - origin
        if wanted.end is not None and seconds + slack >= wanted.end:
            return
        if seconds + slack >= wanted.start:
            relative = max(Fraction(0), seconds - wanted.start)
            yield replace(last, seconds=relative, origin_seconds=origin)
            count += 1
            if count == wanted.max_frames:
                return
    if not media.live:
        shown = max(1 / (media.rate or DEFAULT_RATE), last.frame.duration * (last.frame.time_base or Fraction(0)))
        missing = missing_frames(media, wanted, count=count, shown_until=last.seconds - origin + shown)
        report.frames_missing += missing
        if missing:
            report.warn(f"{media.url} gave {count} frames, {missing} fewer than it promises: it is damaged or cut off")


def live_frames(media: Media, report: SourceReport, clock: RunningClock) -> Iterator[TimedFrame]:
    """All frames of a live source from now on, with the times that `clock` gives them."""
    return _timed(media, report, _Tally(), clock)


def frame_step(media: Media) -> Fraction:
    """Seconds from one frame to the next, as far as the container says."""
    return 1 / (media.rate or DEFAULT_RATE)


def _timed(
    media: Media, report: SourceReport, tally: _Tally, clock: RunningClock | None = None
) -> Generator[TimedFrame, None, None]:
    """All frames from the container's position on, in the order of showing."""
    clock = clock or RunningClock(step=frame_step(media), report=report)
    # A first frame without a time means a container without them (a raw stream): then the rate alone is the clock.
    clocked: bool | None = None
    for frame, captured in _decoded(media, report, tally):
        base = frame.time_base or media.stream.time_base
        stamp = frame.dts if media.decoding_times_only else frame.pts
        clocked = stamp is not None if clocked is None else clocked
        stated = None if stamp is None or base is None or not clocked else stamp * base
        seconds, own = clock.place(stated, captured if media.live else None)
        yield TimedFrame(frame, seconds, own, captured)


def _decoded(media: Media, report: SourceReport, tally: _Tally) -> Iterator[tuple[av.VideoFrame, float]]:
    """Decoded frames with their capture times; what cannot be decoded is counted and left out."""
    tally.pending = 0
    begun = False
    joining = media.live  # whoever joins a stream between two key frames cannot decode before the second
    for packet in _packets(media, report):
        arrived = time.perf_counter()
        if packet.is_corrupt:
            if not joining:
                _count_corrupt(media, report)
            continue
        tally.pending += packet.size > 0
        try:
            frames = media.decoder.decode(packet)
        except av.error.EOFError:
            return
        except av.FFmpegError:
            if packet.size:
                tally.pending -= 1
                if not joining:
                    _count_corrupt(media, report)
            continue
        tally.pending -= len(frames)
        joining = joining and not frames
        if frames and not begun:
            begun = True
            tell_if_in_software(media.options.hwaccel, media.decoder)
        for frame in frames:
            yield frame, arrived if media.live else time.perf_counter()


def _count_corrupt(media: Media, report: SourceReport) -> None:
    report.corrupt_packets += 1
    if report.corrupt_packets == 1:
        report.warn(f"{media.url} has damaged data; what cannot be decoded is left out")


def _packets(media: Media, report: SourceReport) -> Iterator[av.Packet[VideoStream]]:
    """The stream's packets; a read error ends them, and the report says why."""
    try:
        yield from media.container.demux(media.stream)
    except av.FFmpegError as error:
        report.interrupted = " ".join((error.strerror or str(error)).split())
        if isinstance(error, av.error.ExitError):
            report.interrupted = "it sends nothing more"
        report.warn(f"{media.url} broke off: {report.interrupted}")


def _from_keyframe_before(
    media: Media, target: Fraction, origin: Fraction, report: SourceReport, tally: _Tally
) -> Iterator[TimedFrame]:
    """Frames from a keyframe at or before the target on; from the very first if no seek lands there."""
    base = media.stream.time_base or Fraction(1, av.time_base)
    counted = report.corrupt_packets, report.repaired_times
    for back in SEEK_BACK_SECONDS:
        if target - back < origin:
            break
        try:
            media.container.seek(int((target - back) // base), stream=media.stream)
        except av.FFmpegError:  # a pipe, or a server that only sends from the start
            break
        media.decoder.flush_buffers()
        frames = _timed(media, report, tally)
        first = next(frames, None)
        # An index by decoding time, or an open group of pictures, may land behind the target.
        if first is not None and first.stated and first.seconds <= target:
            yield first
            yield from frames
            return
        frames.close()
        report.corrupt_packets, report.repaired_times = counted
    with open_media(media.url, media.options) as afresh:
        yield from _timed(afresh, report, tally)


def _with_tail(
    frames: Iterator[TimedFrame], media: Media, origin: Fraction, report: SourceReport, tally: _Tally
) -> Iterator[TimedFrame]:
    """The frames, and those that frame threads held back when the data's end was damaged.

    A threaded decoder that meets an error while it is emptied gives nothing more (PyAV 18), so the last group of
    pictures is decoded once more without threads.
    """
    last: TimedFrame | None = None
    for last in frames:
        yield last
    if last is None or tally.pending <= 0 or report.interrupted:
        return
    recovered, scratch = 0, SourceReport()
    with open_media(media.url, media.options, frame_threads=False) as again:
        for item in _from_keyframe_before(again, last.seconds, origin, scratch, _Tally()):
            if item.seconds > last.seconds:
                recovered += 1
                yield item
    # Some packets never show a picture (VP8's hidden frames), so only errors seen on the way count.
    for _ in range(min(tally.pending - recovered, scratch.corrupt_packets)):
        _count_corrupt(media, report)
