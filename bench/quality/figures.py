"""Means over seeds with their 95 % intervals, in the layout of the paper's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over seeds, and the ends of its 95 % interval (Student's t); both nan with a single seed."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """One value a seed; nan (nothing of that kind under that seed) is left out."""
        known = np.array([v for v in values if not np.isnan(v)], np.float64)
        if not len(known):
            raise ValueError("a figure takes at least one value")
        mean = float(known.mean())
        if len(known) == 1:
            return cls(mean, float("nan"), float("nan"))
        half = float(stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
        return cls(mean, mean - half, mean + half)

    def __str__(self) -> str:
        half = "" if np.isnan(self.low) else f" ± {(self.high - self.low) / 2:.3g}"
        return f"{self.mean:.4g}{half}"


Entry = Figure | str
"""A figure, or NOT_MEASURED."""


def entry(values: Sequence[float | None]) -> Entry:
    """Of one metric, a value a seed; NOT_MEASURED where no seed has any."""
    known = [v for v in values if v is not None and not np.isnan(v)]
    return Figure.of(known) if known else NOT_MEASURED


def plain(value: Any) -> Any:
    """For JSON: figures as {mean, low, high}, with null for what a single seed cannot tell."""
    if isinstance(value, Figure):
        return {k: None if np.isnan(v) else v for k, v in asdict(value).items()}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    return value
