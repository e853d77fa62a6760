"""Where the durations of a run lie while it is recorded: flat typed columns, a few bytes a value, no objects.

A column that has MAX_VALUES values forgets every second frame; what it forgets stays in its sums and its histogram.
So a profile is bounded however long the run is, and exact, percentiles included, for as long as nothing was forgotten.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from tpc_stream.recording.histogram import Histogram

NO_FRAME = -1
"""The frame index of a duration that belongs to no single frame."""
MAX_VALUES = 8192
"""Exact values kept of one column: five minutes at 25 frames/s, 64 kB; afterwards every 2nd, 4th, ... frame's."""


class Series:
    """The durations of one name: 8 bytes a value, at most MAX_VALUES of them."""

    __slots__ = (
        "_counted", "_histogram", "batches", "frames", "kind", "longest_batch_seconds", "longest_seconds",
        "outside_seconds", "seconds", "stride", "thread", "total",
    )  # fmt: skip

    def __init__(self, kind: str, thread: str) -> None:
        self.kind = kind
        self.thread = thread
        self.frames = array("i")
        self.seconds = array("f")
        self.total = 0.0
        """Seconds, summed in float64 as they came."""
        self.batches = 0
        self.longest_batch_seconds = 0.0
        self.longest_seconds = 0.0
        self.outside_seconds = 0.0
        """Part of total that no output item can carry: set-up without a result, the flush at the end, close()."""
        self.stride = 1
        """Values are kept of the frames whose index is a multiple of it."""
        self._counted = 0
        """How many of the first values kept are in the histogram already."""
        self._histogram: Histogram | None = None

    def add(self, frame: int, seconds: float) -> None:
        self._append(frame, seconds)
        self.total += seconds
        self.batches += 1
        if seconds > self.longest_batch_seconds:
            self.longest_batch_seconds = seconds

    def add_batch(self, frames: array[int], seconds: float) -> None:
        """Share the seconds of one batch among the frames that came out of it together."""
        share = seconds / len(frames)
        for frame in frames:
            self._append(frame, share)
        self.total += seconds
        self.batches += 1
        self.longest_batch_seconds = max(self.longest_batch_seconds, seconds)

    def add_outside(self, seconds: float) -> None:
        self.total += seconds
        self.outside_seconds += seconds

    @property
    def count(self) -> int:
        """Durations so far, those forgotten included."""
        forgotten = 0 if self._histogram is None else self._histogram.count
        return forgotten + len(self.seconds) - self._counted

    def percentiles(self, shares: tuple[float, ...]) -> list[float]:
        """Seconds; linearly interpolated while every value is kept, afterwards within 0.25 %."""
        if self._histogram is None:
            return np.percentile(self.values(), [100 * share for share in shares]).tolist() if self.seconds else []
        self._count_new()
        return [min(value, self.longest_seconds) for value in self._histogram.percentiles(shares)]

    def values(self) -> NDArray[np.float64]:
        """Those that are kept, seconds, as they came."""
        return np.array(self.seconds, dtype=np.float64)

    def _append(self, frame: int, seconds: float) -> None:
        self.frames.append(frame)
        self.seconds.append(seconds)
        if seconds > self.longest_seconds:
            self.longest_seconds = seconds
        if len(self.frames) >= MAX_VALUES:
            self._forget()

    def _count_new(self) -> None:
        if self._histogram is None:
            self._histogram = Histogram()
        self._histogram.add(self.values()[self._counted :])
        self._counted = len(self.seconds)

    def _forget(self) -> None:
        """Count all, then keep as few frames as are needed; what belongs to no frame is counted and gone."""
        self._count_new()
        frames, seconds = np.array(self.frames), np.array(self.seconds, dtype=np.float32)
        while True:
            kept = (frames >= 0) & (frames % self.stride == 0)
            frames, seconds = frames[kept], seconds[kept]
            if len(frames) <= MAX_VALUES // 2 or self.stride >= 2**30:
                break
            self.stride *= 2
        frames, seconds = frames[: MAX_VALUES // 2], seconds[: MAX_VALUES // 2]  # thousands of durations of frame 0
        self.frames, self.seconds = array("i", frames.tolist()), array("f", seconds.tolist())
        self._counted = len(frames)


class QueueSeries:
    """What one queue saw: how long each side waited, how long items lay in it, how full it was."""

    __slots__ = ("blocked", "capacity", "depth_count", "depth_sum", "max_depth", "residence", "waited")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocked = Series("queue", "")
        self.waited = Series("queue", "")
        self.residence = Series("queue", "")
        self.depth_sum = self.depth_count = self.max_depth = 0
        """Of the items that lay ready when the consumer came."""

    def saw(self, depth: int) -> None:
        self.depth_sum += depth
        self.depth_count += 1
        self.max_depth = max(self.max_depth, depth)


class SpanLog:
    """The first spans with their absolute times, for the trace: 24 bytes each, and a count of those left out."""

    __slots__ = ("began", "frames", "left_out", "limit", "name_ids", "names", "seconds", "thread_ids")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left_out = 0
        self.names: dict[str, int] = {}
        self.name_ids = array("H")
        self.thread_ids = array("H")
        self.frames = array("i")
        self.began = array("d")
        self.seconds = array("d")

    def add(self, name: str, thread: int, frame: int, began: float, ended: float) -> None:
        if len(self.began) >= self.limit:
            self.left_out += 1
            return
        self.name_ids.append(self.names.setdefault(name, len(self.names)))
        self.thread_ids.append(thread)
        self.frames.append(frame)
        self.began.append(began)
        self.seconds.append(ended - began)
