"""Procrustes Warping (paper, section 4.1): the similarity transform that lays the reference onto a frame's person.

Usable by itself: numpy in, numpy out; neither the engines nor the pose estimator are imported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream import subset_search as loops
from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.search_config import Round, SearchConfig, SearchResult
from tpc_stream.searcher import Searcher, common_points, similarity
from tpc_stream.silhouettes import mask_iou
from tpc_stream.steady import Previous, SteadyConfig
from tpc_stream.warp import rescaled, screened, warp

__all__ = [
    "Previous", "Round", "SearchConfig", "SearchResult", "Searcher", "Similarity", "SteadyConfig", "common_points",
    "fit", "mask_iou", "rescaled", "screened", "search", "warm_up", "warp",
]  # fmt: skip


def fit(x: NDArray[np.floating], y: NDArray[np.floating]) -> Similarity:
    """The similarity transform y = s R x + t with the least squared error, in closed form: a complex regression.

    With points as complex numbers, and x', y' less their means: a = sum conj(x') y' / sum |x'|^2, the scale is |a|, the
    angle arg a, and t = mean(y) - a mean(x). Never a reflection: no complex number is one.

    `x`, `y` [n, 2] with n >= 2, pixels. Raises InputError where the points show no transform: fewer than two, not
    finite, coincident (spread of 1/1000 pixel or less), or a best scale of 0.
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
    return similarity(a, complex(q_mean - a * p_mean))


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

    For each subset the transform of `fit`, and of these the one that maximises h = IoU(target mask, warped reference
    mask): of 131,054 for 17 common points. Every subset is scored; estimates choose which few are warped to be
    measured.

    Keypoints [17, 2] in pixels, visibilities [17] in [0, 1], masks HW uint8 [0, 255]; the two masks may differ in size.
    None where there is no answer: fewer than two common points, an empty silhouette, or no subset whose transform has
    a scale in the allowed range. For many frames of one reference keep a `Searcher`, which also steadies.
    """
    searcher = Searcher(reference_keypoints, reference_visibility, reference_mask, config=config)
    return searcher.search(target_keypoints, target_visibility, target_mask)


def warm_up() -> None:
    """Compile or load the loops and run each once, so that the first frame does not wait for it (seconds, uncached)."""
    corners = np.zeros((17, 2), np.float32)
    corners[:3] = (4, 4), (12, 4), (4, 12)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    search(corners, np.ones(17), mask, corners, np.ones(17), mask)
    mask_iou(mask, mask)
