"""A transform that is known is found again, under noise and with points of another pose."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bench.recovery import recover


def errors(*, noise_pixels: float, displaced: float, bodies: int = 5) -> np.ndarray:
    return np.array([recover(seed=k, noise_pixels=noise_pixels, displaced=displaced) for k in range(bodies)])


@pytest.mark.parametrize("displaced", [0.0, 0.4])
def test_without_noise_it_is_exact(displaced: float) -> None:
    found = errors(noise_pixels=0.0, displaced=displaced)
    assert found[:, 0].max() < 0.5 and found[:, 1].max() < 0.1, "pixels, degrees"


def test_it_degrades_smoothly() -> None:
    mean = [errors(noise_pixels=noise, displaced=0.4)[:, 0].mean() for noise in (0.0, 1.0, 2.0)]
    assert all(later <= earlier + 1.0 for earlier, later in pairwise(mean)), mean
    assert mean[-1] < 2.0, "less than the noise: the silhouettes choose points whose noise cancels out"
