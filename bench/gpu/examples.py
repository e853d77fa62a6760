"""Inputs for a graph, the same in every process: pictures and timesteps in their range, the rest normal."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from tpc_stream.engine import Array

Shape = tuple[int | str, ...]


def example(inputs: Mapping[str, Shape], axes: Mapping[str, int]) -> dict[str, Array]:
    """`axes`: the lengths of named axes. Each input has a generator of its own, so that none depends on others."""
    made: dict[str, Array] = {}
    for name, shape in inputs.items():
        random = np.random.default_rng(zlib.crc32(name.encode()))
        lengths = [axes[axis] if isinstance(axis, str) else axis for axis in shape]
        if name == "calibrated_index":
            made[name] = (np.arange(lengths[0]) % axes["U"]).astype(np.int64)
        elif name == "timesteps":
            made[name] = np.linspace(900, 100, lengths[0], dtype=np.float32)
        elif name in ("pose_images", "mattes"):
            made[name] = random.random(lengths, dtype=np.float32)
        elif name == "images":
            made[name] = random.random(lengths, dtype=np.float32) * 2 - 1
        else:
            made[name] = random.standard_normal(lengths, dtype=np.float32)
    return made


def psnr(expected: Array, found: Array) -> float:
    """dB, at most 200, which is equal; the peak is the range of what is expected."""
    error = float(np.mean((np.asarray(expected, np.float64) - found) ** 2))
    peak = max(float(np.ptp(expected)), 1e-12)
    return min(10 * float(np.log10(peak**2 / max(error, 1e-300))), 200.0)
