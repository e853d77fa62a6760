"""The loops over silhouettes: count their pixels, spread points over them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream.kernel import kernel


@kernel
def sample_mask(mask: NDArray[np.uint8], threshold: int, count: int) -> NDArray[np.float64]:
    """[2, count] (x, y) points spread evenly over the silhouette: each prefix of them is spread evenly too.

    The R2 low-discrepancy sequence over the silhouette's box, kept where the mask is at least `threshold`. A mask so
    thin that the sequence keeps missing it gives its pixel centres in turn. Shape [2, 0] for an empty mask.
    """
    height, width = mask.shape
    left, right, top, bottom, area = width, 0, height, 0, 0
    for row in range(height):
        for column in range(width):
            if mask[row, column] >= threshold:
                area += 1
                left, right = min(left, column), max(right, column + 1)
                top, bottom = min(top, row), max(bottom, row + 1)
    if area == 0:
        return np.empty((2, 0))
    points = np.empty((2, count))
    n, u, v = 0, 0.5, 0.5
    for _ in range(64 * count):
        u = (u + 0.7548776662466927) % 1.0
        v = (v + 0.5698402909980532) % 1.0
        x, y = left + u * (right - left), top + v * (bottom - top)
        if mask[int(y), int(x)] >= threshold:
            points[0, n], points[1, n] = x, y
            n += 1
            if n == count:
                return points
    stride = max(area // (count - n), 1)
    seen = 0
    while n < count:
        for row in range(top, bottom):
            for column in range(left, right):
                if mask[row, column] >= threshold:
                    if seen % stride == 0 and n < count:
                        points[0, n], points[1, n] = column + 0.5, row + 0.5
                        n += 1
                    seen += 1
    return points


@kernel
def settle(points: NDArray[np.float64], count: int, passes: int) -> NDArray[np.float64]:
    """[2, count] points that stand for [2, n] evenly spread ones: each moves to the mean of those nearest to it.

    Lloyd's algorithm from the first `count` points on. A sum over the silhouette is then best kept by a sum over them.
    """
    centres = points[:, :count].copy()
    sums = np.empty((3, count))
    for _ in range(passes):
        sums[:] = 0.0
        for i in range(points.shape[1]):
            nearest, least = 0, np.inf
            for k in range(count):
                u, v = points[0, i] - centres[0, k], points[1, i] - centres[1, k]
                distance = u * u + v * v
                if distance < least:
                    nearest, least = k, distance
            sums[0, nearest] += points[0, i]
            sums[1, nearest] += points[1, i]
            sums[2, nearest] += 1.0
        for k in range(count):
            if sums[2, k] > 0.0:
                centres[0, k], centres[1, k] = sums[0, k] / sums[2, k], sums[1, k] / sums[2, k]
    return centres


@kernel
def count_covered(mask: NDArray[np.uint8], threshold: int) -> int:
    """Pixels of a mask at or above the threshold."""
    least, total, none = np.uint8(threshold), 0, np.int32(0)
    for row in range(mask.shape[0]):
        line, covered = mask[row], none
        for i in range(line.shape[0]):
            covered = covered + np.int32(line[i] >= least)
        total += int(covered)
    return total


@kernel
def count_overlap(first: NDArray[np.uint8], second: NDArray[np.uint8], threshold: int) -> int:
    """Pixels at or above the threshold in both of two masks of one size."""
    least, total, none = np.uint8(threshold), 0, np.int32(0)
    for row in range(first.shape[0]):
        a, b, covered = first[row], second[row], none
        for i in range(a.shape[0]):
            covered = covered + np.int32((a[i] if a[i] < b[i] else b[i]) >= least)
        total += int(covered)
    return total
