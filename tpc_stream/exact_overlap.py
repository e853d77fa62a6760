"""The loop that measures an overlap exactly: warps a mask bilinearly, and counts instead of keeping the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream.kernel import kernel


@kernel
def pack_quads(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """[H + 3, W + 3]: each pixel with its right, lower and lower right neighbour in one number; 0 beyond the edges.

    Entry (row + 1, column + 1) begins at pixel (row, column), so that there is a ring around, two wide at the end:
    one read gives all that a bilinear mean needs.
    """
    height, width = mask.shape
    padded = np.zeros((height + 4, width + 4), np.int32)
    padded[1 : height + 1, 1 : width + 1] = mask
    quads = np.empty((height + 3, width + 3), np.int32)
    for row in range(height + 3):
        above, below, out = padded[row], padded[row + 1], quads[row]
        for i in range(width + 3):
            out[i] = above[i] | (above[i + 1] << 8) | (below[i] << 16) | (below[i + 1] << 24)
    return quads


@kernel
def row_span(start: float, step: float, least: float, most: float, first: int, last: int) -> tuple[int, int]:
    """Of the whole numbers from `first` to `last` (excluded) those x where least <= start + step x <= most, or more."""
    if abs(step) < 1e-9:
        return (first, last) if least <= start <= most else (first, first)
    one, other = (least - start) / step, (most - start) / step
    low, high = min(one, other), max(one, other)
    low, high = max(low, float(first)), min(high, float(last))
    if high < low:
        return first, first
    return int(low), min(int(high) + 2, last)


@kernel
def count_warped(
    quads: NDArray[np.int32],
    box: tuple[float, float, float, float],
    backwards: NDArray[np.float64],
    target: NDArray[np.uint8],
    threshold: int,
) -> tuple[int, int]:
    """Pixels at or above the threshold in a warped mask, and in both it and the target.

    `quads` is the mask as `pack_quads` gives it; `box` its left, top, right, bottom pixel positions, beyond which all
    is 0; `backwards` [2, 3] takes a pixel of the target to one of the mask, both counted from pixel centres.
    """
    height, width = target.shape
    flat, stride = quads.ravel(), np.int32(quads.shape[1])
    m00, m01, m02 = backwards[0, 0], backwards[0, 1], backwards[0, 2] + 1.0  # + 1: the ring
    m10, m11, m12 = backwards[1, 0], backwards[1, 1], backwards[1, 2] + 1.0
    most_u, most_v = np.float32(quads.shape[1] - 2), np.float32(quads.shape[0] - 2)
    nothing, limit = np.float32(0.0), np.float32(threshold) - np.float32(0.5)
    byte, eight, sixteen, twenty_four = np.int32(255), np.int32(8), np.int32(16), np.int32(24)
    cells, found = np.empty(width, np.int32), np.empty(width, np.int32)
    across, down = np.empty(width, np.float32), np.empty(width, np.float32)
    step_u, step_v, least = np.float32(m00), np.float32(m10), np.uint8(threshold)
    covered, both, zero, unit = 0, 0, np.int32(0), np.int32(1)
    for row in range(height):
        row_u, row_v = m01 * row + m02, m11 * row + m12
        first, last = row_span(row_u, m00, box[0], box[2] + 2.0, 0, width)
        first, last = row_span(row_v, m10, box[1], box[3] + 2.0, first, last)
        start_u, start_v = np.float32(row_u + m00 * first), np.float32(row_v + m10 * first)
        count = last - first
        for i in range(count):
            u, v = start_u + step_u * np.float32(i), start_v + step_v * np.float32(i)
            u = u if u > nothing else nothing
            u = u if u < most_u else most_u
            v = v if v > nothing else nothing
            v = v if v < most_v else most_v
            column, line = np.int32(u), np.int32(v)
            cells[i] = line * stride + column
            across[i], down[i] = u - np.float32(column), v - np.float32(line)
        for i in range(count):
            found[i] = flat[np.uint32(cells[i])]
        pixels = target[row, first:last]
        row_covered, row_both = zero, zero
        for i in range(count):
            quad, right_share, low_share = found[i], across[i], down[i]
            a, b = np.float32(quad & byte), np.float32((quad >> eight) & byte)
            c, d = np.float32((quad >> sixteen) & byte), np.float32((quad >> twenty_four) & byte)
            above, below = a + (b - a) * right_share, c + (d - c) * right_share
            here = unit if above + (below - above) * low_share >= limit else zero
            row_covered += here
            row_both += here if pixels[i] >= least else zero
        covered += int(row_covered)
        both += int(row_both)
    return covered, both
