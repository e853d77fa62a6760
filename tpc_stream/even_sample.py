"""Some of many things, at equal distances, in bounded memory, however many come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from tpc_stream.errors import InputError

T = TypeVar("T")


class EvenSample(Generic[T]):
    """Keeps every k-th thing; when 8 times the wanted ones are kept, every other one is dropped and k doubles.

    So there are always at least 4 to choose each from, and the distances are nearly equal.
    """

    def __init__(self, *, wanted: int, expected: int | None = None) -> None:
        """wanted: how many `chosen` gives at most. expected: how many will come, if known: fewer are then made."""
        if wanted < 1:
            raise InputError(f"a sample has at least one thing, got {wanted = }")
        self._wanted = wanted
        self._kept: list[T] = []
        self._every, self._seen = max(1, (expected or 0) // (4 * wanted)), 0

    def add(self, make: Callable[[], T]) -> None:
        """The next thing; it is made only where it is kept."""
        if self._seen % self._every == 0:
            self._kept.append(make())
            if len(self._kept) == 8 * self._wanted:
                del self._kept[1::2]
                self._every *= 2
        self._seen += 1

    def chosen(self) -> list[T]:
        """The sample so far, the first and one of the last included."""
        count = min(self._wanted, len(self._kept))
        return [self._kept[round(k)] for k in np.linspace(0, len(self._kept) - 1, count)] if count else []
