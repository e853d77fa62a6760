"""How many durations of each size there were: what is kept of those whose exact values are not kept any more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SECONDS = 1e-7
"""Shorter ones count as this: a clock is no truer."""
MOST_SECONDS = 1e4
RATIO = 1.005
"""A bin's upper edge to its lower: a percentile is within 0.25 % of the true one."""
_BINS = int(np.ceil(np.log(MOST_SECONDS / LEAST_SECONDS) / np.log(RATIO))) + 1


class Histogram:
    """Counts in logarithmic bins; 40 kB whatever the number of durations."""

    __slots__ = ("count", "counts")

    def __init__(self) -> None:
        self.count = 0
        self.counts: NDArray[np.int64] = np.zeros(_BINS, dtype=np.int64)

    def add(self, seconds: NDArray[np.float64]) -> None:
        """Count these, [N] seconds."""
        self.count += len(seconds)
        places = np.log(np.clip(seconds, LEAST_SECONDS, MOST_SECONDS) / LEAST_SECONDS) / np.log(RATIO)
        self.counts += np.bincount(places.astype(np.int64).clip(0, _BINS - 1), minlength=_BINS)

    def percentiles(self, shares: tuple[float, ...]) -> list[float]:
        """Seconds below which that share, [0, 1], of the durations lie; a bin's middle stands for what is in it."""
        ranks = np.asarray(shares) * max(self.count - 1, 0)
        places = np.searchsorted(np.cumsum(self.counts), ranks, side="right")
        return [LEAST_SECONDS * RATIO ** (min(place, _BINS - 1) + 0.5) for place in places.tolist()]
