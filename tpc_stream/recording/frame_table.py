"""The facts of each frame while they are recorded, by column; bounded as the series are."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from math import isfinite
from operator import index as as_index
from typing import Any

from tpc_stream.errors import InputError
from tpc_stream.recording.series import MAX_VALUES

MAX_FRAME_GAP = 1_000_000
"""Frame records lie at their index; a leap longer than this is a wrong index, not dropped frames."""
_NO_INTEGER = -(2**63)
_NO_TEXT = -1


class Column:
    """One field of the frame records, at the frame's place: integers, numbers or texts."""

    __slots__ = ("_texts", "_values")

    def __init__(self) -> None:
        self._values: array[Any] | None = None
        self._texts: dict[str, int] | None = None

    def put(self, name: str, place: int, value: float | str) -> None:
        if isinstance(value, str):
            if self._values is None:
                self._texts, self._values = {}, array("i")
            if self._texts is None:
                raise InputError(f"frame record {name!r} held numbers so far, got {value!r}; use another name")
            self._write(place, self._texts.setdefault(value, len(self._texts)), _NO_TEXT)
            return
        if self._texts is not None:
            raise InputError(f"frame record {name!r} held texts so far, got {value!r}; use another name for numbers")
        if isinstance(value, float):
            self._put_number(place, value)
            return
        try:
            whole = as_index(value)  # bool, int and numpy's integers; numpy's float32 refuses
        except TypeError:
            self._put_number(place, float(value))
            return
        if self._values is None:
            self._values = array("q")
        if self._values.typecode == "d":
            self._put_number(place, float(whole))
        else:
            self._write(place, whole, _NO_INTEGER)

    def halve(self) -> None:
        """Keep every second place, and the texts that are still in use."""
        if self._values is None:
            return
        values = self._values[::2]
        if self._texts is not None:
            used, texts = sorted(set(values) - {_NO_TEXT}), list(self._texts)
            place = {_NO_TEXT: _NO_TEXT} | {old: new for new, old in enumerate(used)}
            self._texts = {texts[old]: new for new, old in enumerate(used)}
            values = array("i", (place[v] for v in values))
        self._values = values

    def _put_number(self, place: int, value: float) -> None:
        if not isfinite(value):
            return
        if self._values is None:
            self._values = array("d")
        elif self._values.typecode == "q":
            self._values = array("d", (float("nan") if v == _NO_INTEGER else float(v) for v in self._values))
        self._write(place, value, float("nan"))

    def _write(self, place: int, value: float, missing: float) -> None:
        values = self._values
        assert values is not None
        gap = place + 1 - len(values)
        if gap > 0:
            values.extend(array(values.typecode, (missing,)) * gap)
        values[place] = value

    def __iter__(self) -> Iterator[int | float | str | None]:
        """One value a place, None where nothing was recorded."""
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
    """The frame records: frame k * stride lies at place k."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}
        self.length = 0
        """Frames so far, those forgotten included."""
        self.stride = 1

    def put(self, frame: int, values: Mapping[str, float | str]) -> None:
        if not 0 <= frame <= self.length + MAX_FRAME_GAP:
            raise InputError(f"a frame record's index follows those so far, got {frame} after {self.length} frames")
        self.length = max(self.length, frame + 1)
        while frame // self.stride >= MAX_VALUES:
            self.stride *= 2
            for column in self.columns.values():
                column.halve()
        if frame % self.stride:
            return
        for name, value in values.items():
            self.columns.setdefault(name, Column()).put(name, frame // self.stride, value)
