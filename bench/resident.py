"""Resident memory over a run, and whether it grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psutil


def resident_megabytes() -> float:
    """Of this process, now."""
    return float(psutil.Process().memory_info().rss) / 1e6


def slope(frames: Sequence[int], megabytes: Sequence[float]) -> float:
    """Megabytes more for every 1,000 frames: the least squares line through at least two samples."""
    if len(frames) < 2:
        raise ValueError(f"a slope needs two samples, got {len(frames)}: run longer, or sample more often")
    return 1e3 * float(np.polyfit(np.asarray(frames, float), np.asarray(megabytes, float), 1)[0])
