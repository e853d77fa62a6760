"""Where a profile lies while it is recorded: flat typed columns, a few bytes a value, no objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from math import isfinite
from operator import index as as_index
from typing import Any

from tpc_stream.errors import InputError

NO_FRAME = -1
"""The frame index of a duration that belongs to no single frame."""
MAX_FRAME_GAP = 1_000_000
"""Frame records lie at their index; a leap longer than this is a wrong index, not dropped frames."""
_NO_INTEGER = -(2**63)
_NO_TEXT = -1


class Series:
    """The durations of one name: 8 bytes a value."""

    __slots__ = ("batches", "frames", "kind", "longest_batch_seconds", "outside_seconds", "seconds", "thread", "total")

    def __init__(self, kind: str, thread: str) -> None:
        self.kind = kind
        self.thread = thread
        self.frames = array("i")
        self.seconds = array("f")
        self.total = 0.0
        """Seconds, summed in float64 as they came."""
        self.batches = 0
        self.longest_batch_seconds = 0.0
        self.outside_seconds = 0.0
        """Part of total that no output item can carry: set-up without a result, the flush at the end, close()."""

    def add(self, frame: int, seconds: float) -> None:
        self.frames.append(frame)
        self.seconds.append(seconds)
        self.total += seconds
        self.batches += 1
        if seconds > self.longest_batch_seconds:
            self.longest_batch_seconds = seconds

    def add_batch(self, frames: array[int], seconds: float) -> None:
        """Share the seconds of one batch among the frames that came out of it together."""
        share = seconds / len(frames)
        self.frames.extend(frames)
        self.seconds.extend(array("f", (share,)) * len(frames))
        self.total += seconds
        self.batches += 1
        self.longest_batch_seconds = max(self.longest_batch_seconds, seconds)

    def add_outside(self, seconds: float) -> None:
        self.total += seconds
        self.outside_seconds += seconds


class QueueSeries:
    """What one queue saw: how long each side waited, how long items lay in it, how full it was."""

    __slots__ = ("blocked", "capacity", "depths", "residence", "waited")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocked = Series("queue", "")
        self.waited = Series("queue", "")
        self.residence = Series("queue", "")
        self.depths = array("H")
        """Items that lay ready when the consumer came, one value an item."""


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


class Column:
    """One field of the frame records, at the frame's index: integers, numbers or texts."""

    __slots__ = ("_texts", "_values")

    def __init__(self) -> None:
        self._values: array[Any] | None = None
        self._texts: dict[str, int] | None = None

    def put(self, name: str, frame: int, value: float | str) -> None:
        if isinstance(value, str):
            if self._values is None:
                self._texts, self._values = {}, array("i")
            if self._texts is None:
                raise InputError(f"frame record {name!r} held numbers so far, got {value!r}; use another name")
            self._write(frame, self._texts.setdefault(value, len(self._texts)), _NO_TEXT)
            return
        if self._texts is not None:
            raise InputError(f"frame record {name!r} held texts so far, got {value!r}; use another name for numbers")
        if isinstance(value, float):
            self._put_number(frame, value)
            return
        try:
            whole = as_index(value)  # bool, int and numpy's integers; numpy's float32 refuses
        except TypeError:
            self._put_number(frame, float(value))
            return
        if self._values is None:
            self._values = array("q")
        if self._values.typecode == "d":
            self._put_number(frame, float(whole))
        else:
            self._write(frame, whole, _NO_INTEGER)

    def _put_number(self, frame: int, value: float) -> None:
        if not isfinite(value):
            return
        if self._values is None:
            self._values = array("d")
        elif self._values.typecode == "q":
            self._values = array("d", (float("nan") if v == _NO_INTEGER else float(v) for v in self._values))
        self._write(frame, value, float("nan"))

    def _write(self, frame: int, value: float, missing: float) -> None:
        values = self._values
        assert values is not None
        gap = frame + 1 - len(values)
        if gap > 0:
            values.extend(array(values.typecode, (missing,)) * gap)
        values[frame] = value

    def __iter__(self) -> Iterator[int | float | str | None]:
        """One value a frame index, None where nothing was recorded."""
        if self._values is None:
            return
        if self._texts is not None:
            texts: tuple[str | None, ...] = (*self._texts, None)  # the missing value, -1, picks the last
            yield from (texts[int(v)] for v in self._values)
        elif self._values.typecode == "q":
            yield from (None if v == _NO_INTEGER else v for v in self._values)
        else:
            yield from (None if v != v else v for v in self._values)


class FrameTable:
    """The frame records, by column."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.length = 0

    def put(self, frame: int, values: Mapping[str, float | str]) -> None:
        if not 0 <= frame <= self.length + MAX_FRAME_GAP:
            raise InputError(f"a frame record's index follows those so far, got {frame} after {self.length} frames")
        self.length = max(self.length, frame + 1)
        for name, value in values.items():
            self.columns.setdefault(name, Column()).put(name, frame, value)
