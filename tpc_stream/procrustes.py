"""Procrustes Warping (paper, section 4.1): the similarity transform that lays the reference onto a frame's person."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream import subset_search as loops
from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.warp import Warper, rescaled, screened, warp

__all__ = [
    "SearchConfig", "SearchResult", "common_points", "fit", "mask_iou", "rescaled", "screened", "search", "warm_up",
    "warp",
]  # fmt: skip

FAR_PIXELS = 1e6
"""A keypoint further than this from the picture's corner is no keypoint."""


@dataclass(frozen=True, slots=True)
class Round:
    """One estimate of the IoU of many subsets."""

    subsets: int | None
    """The best so many of the round before; None for all there are, up to 131,054."""
    samples: int
    """Points of the reference's silhouette: a multiple of 4, up to 4096."""
    cells: int
    """Cells along the longer side of the target's silhouette; no cell is smaller than a pixel."""

    def __post_init__(self) -> None:
        if not 4 <= self.samples <= loops.MOST_SAMPLES or self.samples % 4:
            raise InputError(f"samples are a multiple of 4 from 4 to {loops.MOST_SAMPLES}, got {self.samples = }")
        if self.cells < 1 or (self.subsets is not None and self.subsets < 1):
            raise InputError(f"a round has at least one subset and one cell, got {self}")


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How hard to search. The counts are where more stopped helping on the official sample (bench calibration)."""

    visibility: float = 0.5
    """A point is visible from this visibility on, in [0, 1]; it is common if it is visible in both pictures."""
    minimum_scale: float = 1 / 8
    maximum_scale: float = 8.0
    mask_threshold: int = 128
    """A pixel belongs to a silhouette from this coverage on, [1, 255]: half of it."""
    rounds: tuple[Round, ...] = (Round(None, 32, 64), Round(1536, 256, 256), Round(64, 2048, 512))
    """Ever fewer subsets, ever finer; the first round scores them all."""
    exact_subsets: int = 4
    """Best subsets of the last round whose silhouette is really warped."""

    def __post_init__(self) -> None:
        if not 0 < self.minimum_scale <= self.maximum_scale:
            raise InputError(f"scales are 0 < minimum <= maximum, got {self.minimum_scale = } {self.maximum_scale = }")
        if not 1 <= self.mask_threshold <= 255:
            raise InputError(f"mask_threshold is 1 to 255, got {self.mask_threshold = }")
        if not self.rounds or self.rounds[0].subsets is not None or any(r.subsets is None for r in self.rounds[1:]):
            raise InputError(f"the first round scores all subsets (None), and no other round does, got {self.rounds = }")
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
    than two, not finite, coincident (spread under 1/1000 pixel), or a best scale of 0.
    """
    if x.ndim != 2 or x.shape[1] != 2 or x.shape != y.shape or len(x) < 2:
        raise InputError(f"a fit takes two arrays [n, 2] with n >= 2, got {x.shape = } {y.shape = }")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("a fit takes finite points: leave out those that are not visible")
    p = x[:, 0].astype(np.float64) + 1j * x[:, 1]
    q = y[:, 0].astype(np.float64) + 1j * y[:, 1]
    p_mean, q_mean = p.mean(), q.mean()
    p, q = p - p_mean, q - q_mean
    spread = float((p.real**2 + p.imag**2).sum())
    if spread <= loops.SPREAD_PIXELS**2 * len(p):
        raise InputError(f"{len(p)} points coincide (within {loops.SPREAD_PIXELS} pixels): they show no scale, no turn")
    a = complex((p.conj() * q).sum() / spread)
    if abs(a) < 1e-9:
        raise InputError(f"the best scale is 0 ({abs(a):.1e}): the second points coincide or match in no turn")
    t = complex(q_mean - a * p_mean)
    return _similarity(a, t)


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


def mask_iou(first: NDArray[np.uint8], second: NDArray[np.uint8], *, threshold: int = 128) -> float:
    """Pixel IoU of two masks HW uint8 of one size; nan where both are empty."""
    if first.shape != second.shape:
        raise InputError(f"two masks to compare have one size, got {first.shape} {second.shape}")
    both = loops.count_overlap(first, second, threshold)
    union = loops.count_covered(first, threshold) + loops.count_covered(second, threshold) - both
    return both / union if union else math.nan


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
    """
    config = config or SearchConfig()
    common = common_points(
        reference_keypoints, reference_visibility, target_keypoints, target_visibility, threshold=config.visibility
    )
    threshold = config.mask_threshold
    areas = (
        float(loops.count_covered(reference_mask, threshold)),
        float(loops.count_covered(target_mask, threshold)),
    )
    if len(common) < 2 or min(areas) == 0:
        return None
    x, y = reference_keypoints[common].astype(np.float64), target_keypoints[common].astype(np.float64)
    samples = loops.sample_mask(reference_mask, threshold, max(r.samples for r in config.rounds))
    first, *later = config.rounds
    scores = score_subsets(x, y, samples, target_mask, areas, first, config)
    subsets = loops.best_subsets(scores, later[0].subsets if later else config.exact_subsets)
    fits = loops.fit_subsets(x, y, subsets)
    for estimate in later:
        order = np.argsort(-scores, kind="stable")[: estimate.subsets]
    order = np.argsort(-finer, kind="stable")[: config.exact_subsets]
    transforms = [_similarity(complex(*fits[i, :2]), complex(*fits[i, 2:])) for i in order]
    ious = exact_ious(transforms, reference_mask, target_mask, areas, config)
    if not ious:
        return None
    best = int(np.argmax(ious))
    subset = int(subsets[order[best]])
    members = sum(1 << int(point) for k, point in enumerate(common) if subset >> k & 1)
    return SearchResult(transforms[best], members, ious[best], len(common))


def coarse_scores(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    samples: NDArray[np.float64],
    target_mask: NDArray[np.uint8],
    areas: tuple[float, float],
    config: SearchConfig,
) -> NDArray[np.float32]:
    """The estimated IoU of every subset of n points: [2^n], -1 where a subset shows no allowed transform.

    `x`, `y` [n, 2] are the common points, `samples` [2, K] points of the reference's silhouette, all in pixels; `areas`
    are those of the reference's and of the target's silhouette.
    """
    cell = -(-max(target_mask.shape) // config.coarse_cells)
    table, width = loops.cover_table(target_mask, config.mask_threshold, cell)
    # in cells, and about the means, so that the sums of squares keep their digits
    x_mean, y_mean = x.mean(0), y.mean(0)
    p, q = (x - x_mean) / cell, (y - y_mean) / cell
    cut, columns = loops.LOW_POINTS, 1 << max(0, len(x) - loops.LOW_POINTS)
    low, high = loops.half_sums(p[:cut], q[:cut], loops.BLOCK), loops.half_sums(p[cut:], q[cut:], columns)
    points = np.ascontiguousarray((samples - x_mean[:, None]) / cell, dtype=np.float32)
    scores = np.empty(columns * loops.BLOCK, np.float32)
    loops.score_all(
        low, high, points, table, width, y_mean / cell + 1.0, loops.SPREAD_PIXELS / cell,
        (config.minimum_scale, config.maximum_scale), (areas[0] / cell**2, areas[1] / cell**2), scores,
    )  # fmt: skip
    return scores[: 1 << len(x)]


def finer_scores(
    fits: NDArray[np.float64],
    samples: NDArray[np.float64],
    target_mask: NDArray[np.uint8],
    areas: tuple[float, float],
    config: SearchConfig,
) -> NDArray[np.float32]:
    """The IoU of given fits [n, 4] (a, t; pixels), estimated with more samples on a finer silhouette: [n]."""
    cell = -(-max(target_mask.shape) // config.finer_cells)
    table, width = loops.cover_table(target_mask, config.mask_threshold, cell)
    in_cells = np.empty((5, len(fits)), np.float32)
    in_cells[:2] = fits[:, :2].T
    in_cells[2:4] = fits[:, 2:].T / cell + 1.0
    in_cells[4] = in_cells[0] ** 2 + in_cells[1] ** 2
    points = np.ascontiguousarray(samples / cell, dtype=np.float32)
    scores = np.empty(len(fits), np.float32)
    loops.score_fits(in_cells, points, table, width, (areas[0] / cell**2, areas[1] / cell**2), scores)
    return scores


def exact_ious(
    transforms: list[Similarity],
    reference_mask: NDArray[np.uint8],
    target_mask: NDArray[np.uint8],
    areas: tuple[float, float],
    config: SearchConfig,
) -> list[float]:
    """The pixel IoU of each transform: the reference's mask really warped, as `warp` does it, where it can land."""
    warper = Warper.of(reference_mask, (0,))
    height, width = target_mask.shape
    ious = []
    for transform in transforms:
        left, top, right, bottom = warper.landing_box(transform, width=width, height=height)
        part = target_mask[top:bottom, left:right]
        warped = warper.warp(transform, width=right - left, height=bottom - top, corner=(left, top))
        both = loops.count_overlap(warped, part, config.mask_threshold)
        union = loops.count_covered(warped, config.mask_threshold) + areas[1] - both
        ious.append(both / union)
    return ious


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
