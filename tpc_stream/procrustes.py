"""Procrustes Warping (paper, section 4.1): the similarity transform that lays the reference onto a frame's person."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tpc_stream import subset_search as loops
from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.silhouettes import ReferenceSilhouette, TargetSilhouette, mask_iou
from tpc_stream.steady import NOWHERE, Anchor, Previous, SteadyConfig
from tpc_stream.warp import rescaled, screened, warp

__all__ = [
    "Round", "SearchConfig", "SearchResult", "Searcher", "common_points", "fit", "mask_iou", "rescaled", "screened",
    "search", "warm_up", "warp",
]  # fmt: skip

MOST_SAMPLES = 2048
SPARE_IOU = 0.01
"""What the last round's estimates may be wrong by."""
FAR_PIXELS = 1e6
"""A keypoint further than this from the picture's corner is no keypoint."""


@dataclass(frozen=True, slots=True)
class Round:
    """One estimate of the IoU of many subsets."""

    subsets: int | None
    """The best so many of the round before; None for all there are, up to 131,054."""
    samples: int
    """Points of the reference's silhouette: a multiple of 4, up to 2048."""
    cells: int
    """Cells along the longer side of the target's silhouette; no cell is smaller than a pixel."""

    def __post_init__(self) -> None:
        if not 4 <= self.samples <= MOST_SAMPLES or self.samples % 4:
            raise InputError(f"samples are a multiple of 4 from 4 to {MOST_SAMPLES}, got {self.samples = }")
        if self.cells < 1 or (self.subsets is not None and self.subsets < 1):
            raise InputError(f"a round has at least one subset and one cell, got {self}")


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How hard to search: on the official sample 0.0006 IoU short of 15 times the work, 0.0017 in the worst frame."""

    visibility: float = 0.5
    """A point is visible from this visibility on, in [0, 1]; it is common if it is visible in both pictures."""
    minimum_scale: float = 1 / 8
    maximum_scale: float = 8.0
    mask_threshold: int = 128
    """A pixel belongs to a silhouette from this coverage on, [1, 255]: half of it."""
    rounds: tuple[Round, ...] = (Round(None, 32, 64), Round(1536, 256, 256), Round(64, 2048, 256))
    """Ever fewer subsets, estimated ever better; the first round scores them all."""
    exact_subsets: int = 2
    """Best subsets of the last round whose silhouette is really warped; where the answer is steadied also so many of
    the best steadied ones, and so in each round."""
    steady: SteadyConfig = field(default_factory=SteadyConfig)

    def __post_init__(self) -> None:
        if not 0 < self.minimum_scale <= self.maximum_scale:
            raise InputError(f"scales are 0 < minimum <= maximum, got {self.minimum_scale = } {self.maximum_scale = }")
        if not 1 <= self.mask_threshold <= 255:
            raise InputError(f"mask_threshold is 1 to 255, got {self.mask_threshold = }")
        if [r.subsets is None for r in self.rounds] != [True] + [False] * (len(self.rounds) - 1):
            raise InputError(f"the first round scores all subsets (None), and no other does, got {self.rounds}")
        if self.exact_subsets < 1:
            raise InputError(f"at least one subset is measured, got {self.exact_subsets = }")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best subset's transform."""

    transform: Similarity
    subset: int
    """Bit k set: keypoint k took part in the fit."""
    iou: float
    """Pixel IoU of the two silhouettes under `transform`, exact, [0, 1]."""
    common: int
    """Points visible in both pictures."""


def fit(x: NDArray[np.floating], y: NDArray[np.floating]) -> Similarity:
    """The similarity transform y = s R x + t with the least squared error, in closed form: a complex regression.

    `x`, `y` [n, 2] with n >= 2, pixels. Never a reflection. Raises InputError where the points show no transform: fewer
    than two, not finite, coincident (spread of 1/1000 pixel or less), or a best scale of 0.
    """
    if x.ndim != 2 or x.shape[1] != 2 or x.shape != y.shape or len(x) < 2:
        raise InputError(f"a fit takes two arrays [n, 2] with n >= 2, got {x.shape = } {y.shape = }")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("a fit takes finite points: leave out those that are not visible")
    p, q = x @ np.array([1, 1j]), y @ np.array([1, 1j])
    p_mean, q_mean = p.mean(), q.mean()
    p, q = p - p_mean, q - q_mean
    spread = float((np.abs(p) ** 2).sum())
    if spread <= loops.SPREAD_PIXELS**2 * len(p):
        raise InputError(f"{len(p)} points coincide within {loops.SPREAD_PIXELS} pixels: they show no size and no turn")
    a = complex((p.conj() * q).sum() / spread)
    if abs(a) < 1e-9:
        raise InputError(f"the best scale is 0 ({abs(a):.1e}): the second points coincide, or no turn matches them")
    return _similarity(a, complex(q_mean - a * p_mean))


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
            subsets = loops.best_subsets(scores, steadied, later[0].subsets or 0, anchor is not None)
        else:
            subsets = np.flatnonzero(scores >= 0)
        scores, steadied, fits = scores[subsets], steadied[subsets], loops.fit_subsets(x, y, subsets)
        for estimate in later:
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
                iou = target.iou(reference, _similarity(a, t))
                result = SearchResult(_similarity(a, t), members, iou, len(common))
                best.append((result, 0.0 if anchor is None else anchor.cost(a, t)))
        if not best:
            return None
        least = max(result.iou for result, _ in best) - (0.0 if anchor is None else anchor.tolerance)
        return max((b for b in best if b[0].iou >= least), key=lambda b: b[0].iou - b[1])[0]


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


def search(
    reference_keypoints: NDArray[np.floating],
    reference_visibility: NDArray[np.floating],
    reference_mask: NDArray[np.uint8],
    target_keypoints: NDArray[np.floating],
    target_visibility: NDArray[np.floating],
    target_mask: NDArray[np.uint8],
    *,
    config: SearchConfig | None = None,
) -> SearchResult | None:
    """The similarity transform with the best pixel IoU over all subsets of at least two common points (equation 4).

    Keypoints [17, 2] in pixels, visibilities [17] in [0, 1], masks HW uint8 [0, 255]; the two masks may differ in size.
    None where there is no answer: fewer than two common points, an empty silhouette, or no subset whose transform has
    a scale in the allowed range. Every subset is scored; estimates choose which few are warped to be measured.
    For many frames of one reference keep a `Searcher`.
    """
    searcher = Searcher(reference_keypoints, reference_visibility, reference_mask, config=config)
    return searcher.search(target_keypoints, target_visibility, target_mask)


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


def warm_up() -> None:
    """Compile or load the loops and run each once, so that the first frame does not wait for it (seconds, uncached)."""
    corners = np.zeros((17, 2), np.float32)
    corners[:3] = (4, 4), (12, 4), (4, 12)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    search(corners, np.ones(17), mask, corners, np.ones(17), mask)
    mask_iou(mask, mask)


def _similarity(a: complex, t: complex) -> Similarity:
    return Similarity(scale=abs(a), angle_radians=math.atan2(a.imag, a.real), translation_pixels=(t.real, t.imag))
