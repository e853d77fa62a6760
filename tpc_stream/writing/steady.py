"""A constant rate out of frames with times of their own: what fills the gaps, and what finds no slot."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from tpc_stream.reading.index_set import IndexSet


@dataclass(slots=True)
class DeliveryReport:
    """What a sink without time stamps did to keep its rate."""

    repeated: IndexSet = field(default_factory=IndexSet)
    """Frames that were shown more than once, by their index."""
    repeats: int = 0
    """Showings beyond the first, of all frames together."""
    skipped: IndexSet = field(default_factory=IndexSet)
    """Frames that came so soon after another that no slot was left for them, by their index."""


class SteadySlots:
    """Slot k lies k / rate seconds after the first frame; each frame takes the slot that is nearest to its time."""

    def __init__(self, rate: Fraction, report: DeliveryReport) -> None:
        self._rate, self._report = rate, report
        self._first: Fraction | None = None
        self._slot = -1
        self._index = 0

    def place(self, index: int, pts_seconds: Fraction) -> tuple[int, bool]:
        """How often the frame before is to be shown again first, and whether this one is to be shown."""
        if self._first is None:
            self._first = pts_seconds
        slot = floor((pts_seconds - self._first) * self._rate + Fraction(1, 2))
        if slot <= self._slot:
            self._report.skipped.add(index)
            return 0, False
        again = slot - self._slot - 1
        if again:
            self._report.repeated.add(self._index)
            self._report.repeats += again
        self._slot, self._index = slot, index
        return again, True
