"""What a container promises (frames, duration), and how much of it did not come."""

from __future__ import annotations

import re
from fractions import Fraction

import av

from tpc_stream.reading.container import Media
from tpc_stream.reading.source_info import SourceRange

TOLERANCE_FRAMES = 1
"""So few frames less than a stated duration holds are taken for its rounding."""


def expected_frames(media: Media) -> int | None:
    """How many frames the container counts, or None where it does not count them."""
    for key, value in media.stream.metadata.items():
        if key.startswith("NUMBER_OF_FRAMES") and value.isdecimal():
            return int(value)
    if not media.stream.frames:
        return None
    if "mp4" not in media.container.format.name:
        return media.stream.frames
    # An edit list hides samples that the track's own number still counts; the index knows.
    listed = sum(not entry.is_discard for entry in media.stream.index_entries)
    return min(listed, media.stream.frames) if listed else media.stream.frames


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


def missing_frames(media: Media, wanted: SourceRange, *, count: int, shown_until: Fraction) -> int:
    """Frames of the range that were promised and did not come.

    Args:
        count: frames of the range that came.
        shown_until: the last frame's end, seconds after the source's first frame.

    Exact where the container counts its frames and the whole of it was asked for; else worked out from its duration,
    at a variable rate only for what is missing at the end.
    """
    total, duration, rate = expected_frames(media), duration_seconds(media), media.rate
    if total is not None and wanted.start == 0 and wanted.end is None:
        return max(0, min(total, wanted.max_frames or total) - count)
    if duration is None or rate is None:
        return 0
    end = duration if wanted.end is None else min(duration, wanted.end)
    if media.variable_rate:
        missing = round((end - shown_until) * rate)
    else:
        missing = round((end - wanted.start) * rate) - count
    if wanted.max_frames is not None:
        missing = min(missing, wanted.max_frames - count)
    return missing if missing > TOLERANCE_FRAMES else 0
