"""How well the search finds a transform that is known: drawn people, noise on the points, points of another pose."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.drawn_people import STANDING, bent, placed, silhouette
from tpc_stream.frame import Similarity
from tpc_stream.procrustes import search, warp

NOISES_PIXELS = (0.0, 0.5, 1.0, 2.0)
DISPLACED = (0.0, 0.2, 0.4)


def recover(*, seed: int, noise_pixels: float, displaced: float, size: int = 256) -> tuple[float, float]:
    """Error of one search: how far the silhouette's pixels lie off on average, pixels, and the angle's, degrees.

    A random body is warped by a random transform, picture and points; then noise is added to all points, and the share
    `displaced` of them is moved by 15 to 60 pixels, as if the target had another pose.
    """
    rng = np.random.default_rng(seed)
    factor, middle = size / 256, size / 2
    own = placed(bent(STANDING, seed=seed, pixels=15), Similarity(0.9 * factor, rng.uniform(-3, 3), (middle, middle)))
    scale, angle = rng.uniform(0.6, 1.1), rng.uniform(-math.pi, math.pi)
    shift = rng.uniform(-20, 20, 2) * factor
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    x, y = middle + shift[0] - (c - s) * middle, middle + shift[1] - (s + c) * middle
    made = Similarity(scale, angle, (x, y))
    mask = silhouette(own, width=size, height=size)
    there = placed(own, made)
    _, target = warp(np.zeros((size, size, 3), np.uint8), mask, made, width=size, height=size)
    there = there + rng.normal(0, noise_pixels, there.shape) if noise_pixels else there.astype(np.float64)
    moved = rng.choice(17, round(displaced * 17), replace=False)
    way, far = rng.uniform(-math.pi, math.pi, len(moved)), rng.uniform(15, 60, len(moved)) * factor
    there[moved] += np.stack([np.cos(way), np.sin(way)], 1) * far[:, None]
    seen = np.ones(17)
    found = search(own, seen, mask, there, seen, target)
    if found is None:
        return math.inf, 180.0
    return _off_pixels(found.transform, made, mask), _off_degrees(found.transform, made)


def _off_pixels(found: Similarity, made: Similarity, mask: NDArray[np.uint8]) -> float:
    rows, columns = np.nonzero(mask >= 128)
    points = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    return float(np.linalg.norm((found.matrix - made.matrix) @ points, axis=0).mean())


def _off_degrees(found: Similarity, made: Similarity) -> float:
    return abs(math.degrees(math.remainder(found.angle_radians - made.angle_radians, math.tau)))


def main(arguments: Sequence[str]) -> int:
    """Print the table of docs/calibration.md."""
    parser = argparse.ArgumentParser(prog="python -m bench recovery", description=__doc__)
    parser.add_argument("--bodies", type=int, default=40, help="searches for each line")
    options = parser.parse_args(arguments)
    print("| noise, pixels | points displaced | off, pixels: median | 95th percentile | degrees: median | 95th |")
    print("|---|---|---|---|---|---|")
    for displaced in DISPLACED:
        for noise in NOISES_PIXELS:
            errors = np.array([recover(seed=k, noise_pixels=noise, displaced=displaced) for k in range(options.bodies)])
            median, high = np.median(errors, 0), np.percentile(errors, 95, axis=0)
            row = f"{median[0]:.2f} | {high[0]:.2f} | {median[1]:.2f} | {high[1]:.2f}"
            print(f"| {noise:g} | {displaced:.0%} | {row} |", flush=True)
    return 0
