"""The search over all subsets (paper, equation 4): ever better estimates of ever fewer, and the last few measured."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tpc_stream import subset_search as loops
from tpc_stream.frame import Similarity
from tpc_stream.search_config import Round, SearchConfig, SearchResult
from tpc_stream.silhouettes import ReferenceSilhouette, TargetSilhouette
from tpc_stream.steady import NOWHERE, Anchor, Previous

SPARE_IOU = 0.01
"""What the last round's estimates may be wrong by."""
FAR_PIXELS = 1e6
"""A keypoint further than this from the picture's corner is no keypoint."""


def common_points(
    reference_keypoints: NDArray[np.floating],
    reference_visibility: NDArray[np.floating],
    target_keypoints: NDArray[np.floating],
    target_visibility: NDArray[np.floating],
    *,
    threshold: float = 0.5,
) -> NDArray[np.int64]:
    """The numbers of the points visible in both pictures, ascending; points that are not finite are not visible."""
    near = (np.abs(reference_keypoints) < FAR_PIXELS).all(1) & (np.abs(target_keypoints) < FAR_PIXELS).all(1)
    return np.flatnonzero(near & (reference_visibility >= threshold) & (target_visibility >= threshold))


class Searcher:
    """The reference, prepared once; then the best transform for each frame (equation 4)."""

    def __init__(
        self,
        keypoints: NDArray[np.floating],
        visibility: NDArray[np.floating],
        mask: NDArray[np.uint8],
        *,
        config: SearchConfig | None = None,
    ) -> None:
        self.config = config or SearchConfig()
        self.keypoints, self.visibility = keypoints, visibility
        counts = tuple(r.samples for r in self.config.rounds)
        self.silhouette = ReferenceSilhouette.of(mask, counts=counts, threshold=self.config.mask_threshold)

    def search(
        self,
        keypoints: NDArray[np.floating],
        visibility: NDArray[np.floating],
        mask: NDArray[np.uint8],
        *,
        previous: Previous | None = None,
    ) -> SearchResult | None:
        """See `search`: the target's keypoints [17, 2], visibility [17] and mask HW uint8.

        `previous`, the answer of the frame before, steadies this one by `config.steady`: of all subsets whose IoU is
        within the tolerance of the best, the one whose IoU less the cost of the move is highest.
        """
        config, reference = self.config, self.silhouette
        common = common_points(self.keypoints, self.visibility, keypoints, visibility, threshold=config.visibility)
        target = TargetSilhouette.of(mask, threshold=config.mask_threshold)
        if len(common) < 2 or reference.area == 0 or target.area == 0:
            return None
        anchor: Anchor | None = None
        if previous is not None and config.steady.tolerance > 0:
            samples = reference.samples[config.rounds[-1].samples]
            anchor = Anchor.of(previous, samples=samples, config=config.steady)
        x, y = self.keypoints[common].astype(np.float64), keypoints[common].astype(np.float64)
        scores, steadied = score_all(x, y, reference, target, config, anchor=anchor)
        later = config.rounds[1:]
        if later:
            wanted, small = later[0].subsets or 0, _small_subsets(len(common))
            subsets = loops.best_subsets(scores, steadied, wanted, anchor is not None)
            subsets = subsets[_kept(scores[subsets], steadied[subsets], wanted, anchor)]
            subsets = np.union1d(subsets, small[scores[small] >= 0])
        else:
            subsets = np.flatnonzero(scores >= 0)
        scores, steadied, fits = scores[subsets], steadied[subsets], loops.fit_subsets(x, y, subsets)
        for number, estimate in enumerate(later):
            if number:
                kept = _kept(scores, steadied, estimate.subsets or 0, anchor)
                subsets, fits = subsets[kept], fits[kept]
            scores, steadied = score_fits(fits, reference, target, estimate, anchor=anchor)
        if anchor is not None and len(scores):  # what is too far behind the best needs no measuring
            steadied[scores < scores.max() - anchor.tolerance - SPARE_IOU] = -np.inf
        best: list[tuple[SearchResult, float]] = []
        for i in _kept(scores, steadied, config.exact_subsets, anchor):
            a, t = complex(*fits[i, :2]), complex(*fits[i, 2:])
            if scores[i] >= 0:
                members = sum(1 << int(point) for k, point in enumerate(common) if subsets[i] >> k & 1)
                iou = target.iou(reference, similarity(a, t))
                result = SearchResult(similarity(a, t), members, iou, len(common))
                best.append((result, 0.0 if anchor is None else anchor.cost(a, t)))
        if not best:
            return None
        most = max(result.iou for result, _ in best)
        least = most - (0.0 if anchor is None else anchor.tolerance)
        chosen = max((b for b in best if b[0].iou >= least), key=lambda b: b[0].iou - b[1])[0]
        if previous is None:
            return chosen
        return replace(chosen, lost=previous.lost_with(most - chosen.iou, config=config.steady))


@lru_cache(maxsize=18)
def _small_subsets(count: int) -> NDArray[np.int64]:
    """Every pair and triple of so many points: where points are right or wrong, and not a little of each, one of them
    is exact, while thousands of mixed ones may pass the first, rough estimate before it."""
    numbers = (sum(1 << k for k in group) for size in (2, 3) for group in combinations(range(count), size))
    return np.array(sorted(numbers), np.int64)


def _kept(
    scores: NDArray[np.float32], steadied: NDArray[np.float32], count: int, anchor: Anchor | None
) -> NDArray[np.int64]:
    """Where the `count` best scores are, and where there is an anchor, the best steadied ones too; ascending."""
    kept = _best(scores, count)
    if anchor is None:
        return np.flatnonzero(kept)
    return np.flatnonzero(kept | (_best(steadied, count) & np.isfinite(steadied)))


def _best(values: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Whether each is one of the `count` highest; equal ones by their order, the first first."""
    if len(values) <= count:
        return np.ones(len(values), bool)
    least = np.partition(values, len(values) - count)[len(values) - count]
    best: NDArray[np.bool_] = values > least
    best[np.flatnonzero(values == least)[: count - int(best.sum())]] = True
    return best


def score_all(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    reference: ReferenceSilhouette,
    target: TargetSilhouette,
    config: SearchConfig,
    *,
    anchor: Anchor | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first round's IoU of every subset of n points, and the same less the cost of the move from `anchor`: [2^n].

    -1 where a subset shows no allowed transform. `x`, `y` [n, 2] are the common points in pixels; bit k of a subset's
    number is point k of them.
    """
    first = config.rounds[0]
    table = target.table(cells=first.cells, samples=first.samples)
    cell = table.cell_pixels
    # in cells, and about the means, so that the sums of squares keep their digits
    x_mean, y_mean = x.mean(0), y.mean(0)
    p, q = (x - x_mean) / cell, (y - y_mean) / cell
    samples = (reference.samples[first.samples] - x_mean[:, None]) / cell
    cut, columns = loops.LOW_POINTS, 1 << max(0, len(x) - loops.LOW_POINTS)
    scores, steadied = np.empty((2, columns * loops.BLOCK), np.float32)
    origin = complex(x_mean[0], x_mean[1])
    loops.score_all(
        loops.half_sums(p[:cut], q[:cut], loops.BLOCK),
        loops.half_sums(p[cut:], q[cut:], columns),
        np.ascontiguousarray(samples, dtype=np.float32),
        table.flat,
        table.width,
        table.full,
        y_mean / cell + table.ring,
        loops.SPREAD_PIXELS / cell,
        (config.minimum_scale, config.maximum_scale),
        (reference.area / cell**2, target.area / cell**2),
        NOWHERE if anchor is None else anchor.in_cells(cell=cell, x_origin=origin, ring=table.ring),
        scores,
        steadied,
    )
    return scores[: 1 << len(x)], steadied[: 1 << len(x)]


def score_fits(
    fits: NDArray[np.float64],
    reference: ReferenceSilhouette,
    target: TargetSilhouette,
    estimate: Round,
    *,
    anchor: Anchor | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A later round's IoU of given fits [n, 4] (a, t; pixels), and the same less the cost of the move: [n]."""
    table = target.table(cells=estimate.cells, samples=estimate.samples)
    cell = table.cell_pixels
    in_cells = np.empty((5, len(fits)), np.float32)
    in_cells[:2] = fits[:, :2].T
    in_cells[2:4] = fits[:, 2:].T / cell + table.ring
    in_cells[4] = in_cells[0] ** 2 + in_cells[1] ** 2
    samples = np.ascontiguousarray(reference.samples[estimate.samples] / cell, dtype=np.float32)
    scores, steadied = np.empty((2, len(fits)), np.float32)
    areas = (reference.area / cell**2, target.area / cell**2)
    near = NOWHERE if anchor is None else anchor.in_cells(cell=cell, x_origin=0j, ring=table.ring)
    loops.score_fits(in_cells, samples, table.flat, table.width, table.full, areas, near, scores, steadied)
    return scores, steadied


def similarity(a: complex, t: complex) -> Similarity:
    return Similarity(scale=abs(a), angle_radians=math.atan2(a.imag, a.real), translation_pixels=(t.real, t.imag))
