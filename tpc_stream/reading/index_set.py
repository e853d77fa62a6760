"""Which frames, exactly, in one bit each: an hour at 60 frames a second is 27 kB, however they are scattered."""

from __future__ import annotations

from collections.abc import Iterator

from tpc_stream.errors import InputError


class IndexSet:
    """A growing set of frame indices."""

    __slots__ = ("_bits", "_count")

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def add(self, index: int) -> None:
        """Raises InputError for a negative index; adding twice changes nothing."""
        if index < 0:
            raise InputError(f"frames are counted from 0, got {index = }")
        place, bit = index >> 3, 1 << (index & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        if not self._bits[place] & bit:
            self._bits[place] |= bit
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int) or not 0 <= index < 8 * len(self._bits):
            return False
        return bool(self._bits[index >> 3] >> (index & 7) & 1)

    def __iter__(self) -> Iterator[int]:
        """The indices, ascending."""
        for place, byte in enumerate(self._bits):
            for bit in range(8) if byte else ():
                if byte >> bit & 1:
                    yield 8 * place + bit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IndexSet) and self.ranges() == other.ranges()

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"IndexSet({self.ranges()})"

    def ranges(self) -> list[tuple[int, int]]:
        """The runs of neighbours, as (first, last), both inclusive."""
        runs: list[tuple[int, int]] = []
        for index in self:
            if runs and runs[-1][1] == index - 1:
                runs[-1] = (runs[-1][0], index)
            else:
                runs.append((index, index))
        return runs
