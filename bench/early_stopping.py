"""How sure a percentile is, and when enough samples were taken: MLPerf Inference's early stopping.

Reddi et al. 2020, "MLPerf Inference Benchmark", and its rules since v2.0: of n independent samples let t be the largest
number such that t or fewer above the p-th percentile would be seen with a probability of at most 1 - c. Then the
(t + 1)-th largest sample is, with confidence c, no less than the true percentile. p90 at c = 0.99 needs 44 samples
for t = 0 and 64 for t = 1, so that a single stray sample does not decide: hence "at least 64".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_SAMPLES = 64
CONFIDENCE = 0.99
TOLERANCE = 0.05
"""A percentile is sure enough where its bound lies at most so much above it, relative."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A percentile of a sample, and what can be said of the true one."""

    percentile: float
    """(0, 1)."""
    value: float
    """Of the samples, linearly interpolated; in their unit."""
    bound: float | None
    """With confidence CONFIDENCE the true percentile is not above it; None where the samples are too few to say."""
    samples: int

    @property
    def enough(self) -> bool:
        """Whether more samples would hardly move it."""
        return self.samples >= LEAST_SAMPLES and self.bound is not None and self.bound <= (1 + TOLERANCE) * self.value


def estimate(samples: Sequence[float], percentile: float) -> Estimate:
    """The percentile of the samples, with its bound; at least one sample."""
    ordered = sorted(samples)
    place = percentile * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    value = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    over = allowed_over(len(ordered), percentile)
    return Estimate(percentile, value, None if over is None else ordered[-1 - over], len(ordered))


def allowed_over(count: int, percentile: float, *, confidence: float = CONFIDENCE) -> int | None:
    """The t above: how many of `count` samples may lie over the bound; None where even 0 proves nothing."""
    log_over, log_under = math.log1p(-percentile), math.log(percentile)
    seen, allowed = 0.0, None
    for k in range(count):
        log_ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        seen += math.exp(log_ways + k * log_over + (count - k) * log_under)
        if seen > 1 - confidence:
            break
        allowed = k
    return allowed


def samples_needed(percentile: float, *, confidence: float = CONFIDENCE) -> int:
    """The fewest samples that prove anything: all of them below the bound."""
    return math.ceil(math.log(1 - confidence) / math.log(percentile))
