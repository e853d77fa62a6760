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
class SearchConfig:
    """How hard to search. The counts are where more stopped helping on the official sample (bench calibration)."""

    visibility: float = 0.5
    """A point is visible from this visibility on, in [0, 1]; it is common if it is visible in both pictures."""
    minimum_scale: float = 1 / 8
    maximum_scale: float = 8.0
    mask_threshold: int = 128
    """A pixel belongs to a silhouette from this coverage on, [1, 255]: half of it."""
    coarse_samples: int = 32
    """Points of the reference's silhouette that score every subset: a multiple of 4, 4 to 256."""
    table_cells: int = 64
    """Cells along the longer side of the target's silhouette in the coarse score."""
    finer_subsets: int = 1536
    """Best subsets of the coarse score that are scored on the full silhouette."""
    finer_samples: int = 384
    exact_subsets: int = 12
    """Best subsets of the finer score whose silhouette is really warped."""

    def __post_init__(self) -> None:
        if not 0 < self.minimum_scale <= self.maximum_scale:
            raise InputError(f"scales are 0 < minimum <= maximum, got {self.minimum_scale = } {self.maximum_scale = }")
        if not 4 <= self.coarse_samples <= 256 or self.coarse_samples % 4:  # 256 coverages of 255 fill a count's 16 bits
            raise InputError(f"coarse_samples is a multiple of 4 from 4 to 256, got {self.coarse_samples = }")
        if not 1 <= self.mask_threshold <= 255:
            raise InputError(f"mask_threshold is 1 to 255, got {self.mask_threshold = }")
        if min(self.table_cells, self.finer_subsets, self.finer_samples, self.exact_subsets) < 1:
            raise InputError(f"every count of the search is at least 1, got {self}")


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
    a, b, both = loops.count_overlap(np.ascontiguousarray(first), np.ascontiguousarray(second), threshold)
    return both / (a + b - both) if a + b else math.nan


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
    reference_mask, target_mask = np.ascontiguousarray(reference_mask), np.ascontiguousarray(target_mask)
    reference_area = loops.count_overlap(reference_mask, reference_mask, threshold)[0]
    target_area = loops.count_overlap(target_mask, target_mask, threshold)[0]
    if len(common) < 2 or reference_area == 0 or target_area == 0:
        return None
    samples = loops.sample_mask(reference_mask, threshold, max(config.finer_samples, config.coarse_samples))
    x, y = reference_keypoints[common].astype(np.float64), target_keypoints[common].astype(np.float64)
    areas = (float(reference_area), float(target_area))
    scores = coarse_scores(x, y, samples[:, : config.coarse_samples], target_mask, areas, config)
    subsets = loops.best_subsets(scores, config.finer_subsets)
    fits = loops.fit_subsets(x, y, subsets)
    finer = np.empty(len(subsets))
    loops.score_fits(fits, samples[:, : config.finer_samples], target_mask, threshold, areas, finer)
    warper = Warper.of(reference_mask, (0,))
    best: SearchResult | None = None
    for i in np.argsort(-finer, kind="stable")[: config.exact_subsets]:
        transform = _similarity(complex(fits[i, 0], fits[i, 1]), complex(fits[i, 2], fits[i, 3]))
        warped = warper.warp(transform, width=target_mask.shape[1], height=target_mask.shape[0])
        iou = mask_iou(warped, target_mask, threshold=threshold)
        if best is None or iou > best.iou:
            members = sum(1 << int(point) for k, point in enumerate(common) if subsets[i] >> k & 1)
            best = SearchResult(transform, members, iou, len(common))
    return best


def coarse_scores(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    samples: NDArray[np.float64],
    target_mask: NDArray[np.uint8],
    areas: tuple[float, float],
    config: SearchConfig,
) -> NDArray[np.float32]:
    """The estimated IoU of every subset of the n points: [2^n], -1 where a subset shows no allowed transform."""
    cell = -(-max(target_mask.shape) // config.table_cells)
    table, width = loops.cover_table(target_mask, config.mask_threshold, cell)
    # in cells, and about the means, so that the sums of squares keep their digits
    x_mean, y_mean = x.mean(0), y.mean(0)
    p, q = (x - x_mean) / cell, (y - y_mean) / cell
    points = (samples - x_mean[:, None]) / cell
    low, high = loops.half_sums(p[: loops.LOW_POINTS], q[: loops.LOW_POINTS]), loops.half_sums(
        p[loops.LOW_POINTS :], q[loops.LOW_POINTS :]
    )
    scores = np.empty(1 << len(x), np.float32)
    loops.score_all(
        low, high, points.astype(np.float32), table, width, y_mean / cell + 1.0, loops.SPREAD_PIXELS / cell,
        (config.minimum_scale, config.maximum_scale), (areas[0] / cell**2, areas[1] / cell**2), scores,
    )  # fmt: skip
    return scores


def warm_up() -> None:
    """Compile or load the loops and run each once, so that the first frame does not wait for it (seconds, uncached)."""
    corners = np.zeros((17, 2), np.float32)
    corners[:3] = (4, 4), (12, 4), (4, 12)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    search(corners, np.ones(17), mask, corners, np.ones(17), mask)


def _similarity(a: complex, t: complex) -> Similarity:
    return Similarity(scale=abs(a), angle_radians=math.atan2(a.imag, a.real), translation_pixels=(t.real, t.imag))
