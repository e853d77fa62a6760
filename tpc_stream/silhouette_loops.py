"""The loops over silhouettes: count their pixels, spread points over them, shrink them to lookup tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream.kernel import kernel
from tpc_stream.subset_search import SHIFT


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
def cover_table(
    mask: NDArray[np.uint8], threshold: int, cell: int, radius: int, full: int
) -> tuple[NDArray[np.int32], int]:
    """The silhouette in cells of `cell` x `cell` pixels, means over 2 `radius` + 1 cells squared: flat, and its width.

    A cell holds, as shares of `full`, how much of that square lies on the canvas (<< SHIFT) and how much of it in the
    silhouette. `radius` + 1 rings of cells around the canvas; the outermost is all 0.
    """
    height, width = mask.shape
    ring = radius + 1
    columns, rows = (width + cell - 1) // cell + 2 * ring, (height + cell - 1) // cell + 2 * ring
    least, share = np.uint8(threshold), np.float32(1.0 / (cell * cell))
    covered = np.zeros((rows, columns), np.float32)
    line = np.empty(width, np.float32)
    for row in range(rows - 2 * ring):
        line[:] = 0
        for v in range(row * cell, min(row * cell + cell, height)):
            pixels = mask[v]
            for u in range(width):
                line[u] += share if pixels[u] >= least else np.float32(0.0)
        out = covered[row + ring]
        for column in range(columns - 2 * ring):
            for u in range(column * cell, min(column * cell + cell, width)):
                out[column + ring] += line[u]
    for _ in range(2):  # means along the columns, then along the rows
        covered = box_means(covered, radius).T.copy()
    across, down = np.zeros((1, columns), np.float32), np.zeros((1, rows), np.float32)
    across[0, ring : columns - ring] = 1.0
    down[0, ring : rows - ring] = 1.0
    across[0, columns - ring - 1] = (width - (columns - 2 * ring - 1) * cell) / cell
    down[0, rows - ring - 1] = (height - (rows - 2 * ring - 1) * cell) / cell
    across, down = box_means(across.T.copy(), radius), box_means(down.T.copy(), radius)
    table = np.empty(rows * columns, np.int32)
    for row in range(rows):
        out, there = table[row * columns : (row + 1) * columns], down[row, 0]
        for column in range(columns):
            inside = np.int32(there * across[column, 0] * full + 0.5)
            out[column] = (inside << SHIFT) + np.int32(covered[row, column] * full + 0.5)
    return table, columns


@kernel
def box_means(picture: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Means over 2 `radius` + 1 rows; beyond the picture there is 0."""
    if radius == 0:
        return picture
    means = np.zeros_like(picture)
    share = np.float32(1.0 / (2 * radius + 1))
    for row in range(picture.shape[0]):
        out = means[row]
        for other in range(max(0, row - radius), min(picture.shape[0], row + radius + 1)):
            line = picture[other]
            for column in range(out.shape[0]):
                out[column] += line[column] * share
    return means


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
