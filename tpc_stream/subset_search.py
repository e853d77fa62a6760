"""The loops of the subset search: score the similarity transform of every subset of the common keypoints.

The sums of a subset are the sums of its low half plus those of its high half, so that 2^17 subsets cost 2^9 + 2^8
sums; a transform's IoU needs no warp: the area is s^2 times the reference's, and the overlap is the share of sampled
points of the reference's silhouette that land in the target's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream.kernel import kernel

LOW_POINTS = 9
"""Points in the low half: 2^9 subsets are scored together, so that a block's transforms stay in the first cache."""
BLOCK = 1 << LOW_POINTS
SHIFT = 16
"""A lookup table's cell is inside << SHIFT | covered, each of 0 to a round's `full`: one read gives both counts."""
MOST_COUNT = (1 << 15) - 1
"""The most that either count can reach: samples times `full`."""
SPREAD_PIXELS = 1e-3
"""Points whose root mean square distance from their mean is this or less coincide: they show no scale and no turn."""


@kernel
def half_sums(x: NDArray[np.float64], y: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Sums over every subset of n points, [8, columns]: count, x (2), y (2), conj(x) y (2), |x|^2; 0 from 2^n on."""
    count = x.shape[0]
    sums = np.zeros((8, columns))
    for subset in range(1, 1 << count):
        k = 0
        while not (subset >> k) & 1:
            k += 1
        rest = subset & (subset - 1)
        sums[0, subset] = sums[0, rest] + 1.0
        sums[1, subset] = sums[1, rest] + x[k, 0]
        sums[2, subset] = sums[2, rest] + x[k, 1]
        sums[3, subset] = sums[3, rest] + y[k, 0]
        sums[4, subset] = sums[4, rest] + y[k, 1]
        sums[5, subset] = sums[5, rest] + x[k, 0] * y[k, 0] + x[k, 1] * y[k, 1]
        sums[6, subset] = sums[6, rest] + x[k, 0] * y[k, 1] - x[k, 1] * y[k, 0]
        sums[7, subset] = sums[7, rest] + x[k, 0] * x[k, 0] + x[k, 1] * x[k, 1]
    return sums


@kernel
def fit_block(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    column: int,
    origin: NDArray[np.float64],
    least_spread: float,
    scales: tuple[float, float],
    fits: NDArray[np.float32],
) -> None:
    """Fit every subset of one block (one subset of the high half with all of the low half).

    `fits` [5, BLOCK] takes the transform's a (2), t (2) with `origin` added, and s^2, or 0 where the subset shows no
    transform: fewer than two points, points whose spread is `least_spread` or less, a scale outside `scales`.
    """
    h0, h1, h2, h3, h4 = high[0, column], high[1, column], high[2, column], high[3, column], high[4, column]
    h5, h6, h7 = high[5, column], high[6, column], high[7, column]
    least, most = scales[0] * scales[0], scales[1] * scales[1]
    o0, o1, square, nothing = origin[0], origin[1], least_spread * least_spread, np.float32(0.0)
    sums, out = low.ravel(), fits.ravel()  # flat with constant offsets: else the compiler fears overlaps, no vectors
    for i in range(BLOCK):
        points = sums[i] + h0
        share = 1.0 / (points if points > 1.0 else 1.0)
        x0, x1 = sums[BLOCK + i] + h1, sums[2 * BLOCK + i] + h2
        y0, y1 = sums[3 * BLOCK + i] + h3, sums[4 * BLOCK + i] + h4
        spread = sums[7 * BLOCK + i] + h7 - (x0 * x0 + x1 * x1) * share
        limit = square * points
        inverse = 1.0 / (spread if spread > limit else 1.0)
        a0 = (sums[5 * BLOCK + i] + h5 - (x0 * y0 + x1 * y1) * share) * inverse
        a1 = (sums[6 * BLOCK + i] + h6 - (x0 * y1 - x1 * y0) * share) * inverse
        squared = a0 * a0 + a1 * a1
        out[i], out[BLOCK + i] = np.float32(a0), np.float32(a1)
        out[2 * BLOCK + i] = np.float32((y0 - (a0 * x0 - a1 * x1)) * share + o0)
        out[3 * BLOCK + i] = np.float32((y1 - (a0 * x1 + a1 * x0)) * share + o1)
        allowed = (points > 1.5) & (spread > limit) & (squared >= least) & (squared <= most)
        out[4 * BLOCK + i] = np.float32(squared) if allowed else nothing


@kernel
def find_cells(
    fits: NDArray[np.float32], x: np.float32, y: np.float32, width: int, height: int, cells: NDArray[np.int32]
) -> None:
    """The lookup table's cell where each of a block's transforms puts one point; the ring takes all that is outside."""
    a0, a1, t0, t1 = fits[0], fits[1], fits[2], fits[3]
    nothing, right, bottom = np.float32(0.0), np.float32(width - 1), np.float32(height - 1)
    row = np.int32(width)
    for i in range(cells.shape[0]):
        u = a0[i] * x - a1[i] * y + t0[i]
        v = a0[i] * y + a1[i] * x + t1[i]
        # written out: numba's min and max keep the compiler from using vectors
        u = u if u > nothing else nothing
        u = u if u < right else right
        v = v if v > nothing else nothing
        v = v if v < bottom else bottom
        cells[i] = np.int32(v) * row + np.int32(u)


@kernel
def score_fits(
    fits: NDArray[np.float32],
    samples: NDArray[np.float32],
    table: NDArray[np.int32],
    width: int,
    full: int,
    areas: tuple[float, float],
    anchor: NDArray[np.float32],
    scores: NDArray[np.float32],
    steadied: NDArray[np.float32],
) -> None:
    """Estimate the IoU of transforms into `scores` [n]; -1 where there is no transform.

    `steadied` [n] takes the same less what the move from `anchor` costs (see `steady.Anchor`).

    `fits` [5, n] as `fit_block` writes them. All lengths are in cells of the lookup table (see `cover_table`), which is
    flat with `width` cells a row; `samples` [2, K] are points of the reference's silhouette, K a multiple of 4, K times
    `full` up to MOST_COUNT; `areas` are those of the two silhouettes.
    """
    block, height, count = fits.shape[1], table.shape[0] // width, samples.shape[1]
    cells, found = np.empty((4, block), np.int32), np.zeros(block, np.int32)
    reference_area, target_area = np.float32(areas[0]), np.float32(areas[1])
    nothing, tiny, one, no_score = np.float32(0.0), np.float32(1e-6), np.float32(1.0), np.float32(-1.0)
    per_count = np.float32(1.0 / (full * count))
    for k in range(0, count, 4):
        for j in range(4):
            find_cells(fits, samples[0, k + j], samples[1, k + j], width, height, cells[j])
        c0, c1, c2, c3 = cells[0], cells[1], cells[2], cells[3]
        for i in range(block):
            first = table[np.uint32(c0[i])] + table[np.uint32(c1[i])]
            found[i] += first + table[np.uint32(c2[i])] + table[np.uint32(c3[i])]
    a0, a1, t0, t1, squared = fits[0], fits[1], fits[2], fits[3], fits[4]
    from_a0, from_a1, mean0, mean1, from0, from1 = anchor[0], anchor[1], anchor[2], anchor[3], anchor[4], anchor[5]
    variance, move_weight, excess, scale_weight = anchor[6], anchor[7], anchor[8], anchor[9]
    from_squared = from_a0 * from_a0 + from_a1 * from_a1
    for i in range(block):
        area = squared[i] * reference_area
        overlap = np.float32(found[i] & 0xFFFF) * per_count * area
        union = np.float32(found[i] >> SHIFT) * per_count * area + target_area - overlap + tiny
        score = overlap / union
        score = score if score < one else one
        turn0, turn1 = a0[i] - from_a0, a1[i] - from_a1
        shift0 = a0[i] * mean0 - a1[i] * mean1 + t0[i] - from0
        shift1 = a0[i] * mean1 + a1[i] * mean0 + t1[i] - from1
        moved = np.sqrt((turn0 * turn0 + turn1 * turn1) * variance + shift0 * shift0 + shift1 * shift1)
        cost = move_weight * moved * (one + moved * excess)
        cost += scale_weight * abs(squared[i] - from_squared) / (squared[i] + from_squared)
        scores[i] = score if squared[i] > nothing else no_score
        steadied[i] = score - cost if squared[i] > nothing else no_score


@kernel
def score_all(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    samples: NDArray[np.float32],
    table: NDArray[np.int32],
    width: int,
    full: int,
    origin: NDArray[np.float64],
    least_spread: float,
    scales: tuple[float, float],
    areas: tuple[float, float],
    anchor: NDArray[np.float32],
    scores: NDArray[np.float32],
    steadied: NDArray[np.float32],
) -> None:
    """Fit and score every subset, block by block, as `fit_block` and `score_fits` do: [columns x BLOCK] each."""
    fits = np.empty((5, BLOCK), np.float32)
    for column in range(high.shape[1]):
        fit_block(low, high, column, origin, least_spread, scales, fits)
        first, last = column * BLOCK, (column + 1) * BLOCK
        score_fits(fits, samples, table, width, full, areas, anchor, scores[first:last], steadied[first:last])


@kernel
def least_of_best(scores: NDArray[np.float32], wanted: int) -> float:
    """The score from which on there are about `wanted` subsets, at least, by a histogram; never below 0."""
    bins = 4096
    histogram = np.zeros(bins + 1, np.int64)
    for i in range(scores.shape[0]):
        if scores[i] >= 0.0:
            histogram[int(scores[i] * bins)] += 1
    total, lowest = 0, bins + 1
    while lowest > 0 and total < wanted:
        lowest -= 1
        total += histogram[lowest]
    return lowest / bins


@kernel
def best_subsets(
    scores: NDArray[np.float32], steadied: NDArray[np.float32], wanted: int, both: bool
) -> NDArray[np.int64]:
    """The numbers of about `wanted` best scores, and if `both` of so many best steadied ones, in ascending order.

    Subsets scored -1 never; at most twice as many as wanted by each.
    """
    least = np.float32(least_of_best(scores, wanted))
    near = np.float32(least_of_best(steadied, wanted)) if both else np.float32(np.inf)
    most = 4 * wanted if both else 2 * wanted
    chosen = np.empty(most, np.int64)
    n = 0
    for i in range(scores.shape[0]):
        if (scores[i] >= least or steadied[i] >= near) and scores[i] >= 0.0 and n < most:
            chosen[n] = i
            n += 1
    return chosen[:n].copy()


@kernel
def fit_subsets(x: NDArray[np.float64], y: NDArray[np.float64], subsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fit the given subsets of n points: [len(subsets), 4] of the transform's a (2) and t (2)."""
    fits = np.empty((subsets.shape[0], 4))
    for i in range(subsets.shape[0]):
        x0, x1, y0, y1, points = 0.0, 0.0, 0.0, 0.0, 0
        for k in range(x.shape[0]):
            if (subsets[i] >> k) & 1:
                x0, x1, y0, y1, points = x0 + x[k, 0], x1 + x[k, 1], y0 + y[k, 0], y1 + y[k, 1], points + 1
        x0, x1, y0, y1 = x0 / points, x1 / points, y0 / points, y1 / points
        a0, a1, spread = 0.0, 0.0, 0.0
        for k in range(x.shape[0]):
            if (subsets[i] >> k) & 1:
                p0, p1, q0, q1 = x[k, 0] - x0, x[k, 1] - x1, y[k, 0] - y0, y[k, 1] - y1
                a0, a1, spread = a0 + p0 * q0 + p1 * q1, a1 + p0 * q1 - p1 * q0, spread + p0 * p0 + p1 * p1
        a0, a1 = a0 / spread, a1 / spread
        fits[i, 0], fits[i, 1] = a0, a1
        fits[i, 2], fits[i, 3] = y0 - (a0 * x0 - a1 * x1), y1 - (a0 * x1 + a1 * x0)
    return fits
