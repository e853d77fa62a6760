"""What the paper compares Procrustes Warping with (Table 2): the linear transform of two boxes, and an affine fit.

Both look at one set of points and at no silhouette before they answer, so they show what the search over the subsets
and the choice of a similarity bring. The paper does not define them; what is taken here stands at each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import Affine, Body, Calibration, Similarity, Transform
from tpc_stream.procrustes import Searcher, common_points
from tpc_stream.silhouettes import TargetSilhouette

Reason = tuple[str, str]
"""Why a frame has no transform of its own: the kind of reason, which is counted, and its detail."""

_SHOULDERS, _HIPS = (5, 6), (11, 12)
_FLAT = 1e-3
"""Points whose second spread is below this part of the first lie on a line: they show no shear."""


def fit_affine(x: NDArray[np.floating], y: NDArray[np.floating]) -> Affine:
    """The affine transform with the least squared error: six numbers, free to shear, to stretch and to mirror.

    `x`, `y` [n, 2] with n >= 3, pixels. Raises InputError for fewer points, points that are not finite, or points of
    `x` that lie on a line.
    """
    if x.ndim != 2 or x.shape[1] != 2 or x.shape != y.shape or len(x) < 3:
        raise InputError(f"an affine fit takes two arrays [n, 2] with n >= 3, got {x.shape = } {y.shape = }")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("a fit takes finite points: leave out those that are not visible")
    x, y = x.astype(np.float64), y.astype(np.float64)
    x_mean, y_mean = x.mean(0), y.mean(0)
    spread = np.linalg.svd(x - x_mean, compute_uv=False)
    if spread[1] <= _FLAT * max(float(spread[0]), 1.0):
        raise InputError(f"{len(x)} points lie on a line: they show no shear")
    linear = np.linalg.lstsq(x - x_mean, y - y_mean, rcond=None)[0].T
    return Affine(np.column_stack([linear, y_mean - linear @ x_mean]))


def fit_linear(reference: Body, target: Body, *, visible_from: float = 0.5, covered_from: int = 128) -> Similarity:
    """Scale and turn of one person's box to the other's, and no translation.

    The box is the silhouette's, upright along the torso: its axis goes from the hips' mean to the shoulders', of
    those hips and shoulders that are visible in both pictures. The turn is the angle between the two axes, the scale
    the ratio of the boxes' heights. No translation: the middle of the reference's box stays where it is.

    Raises InputError where the torso is not seen in both pictures, or a silhouette is empty.
    """
    common = common_points(
        reference.keypoints, reference.visibility, target.keypoints, target.visibility, threshold=visible_from
    )
    shoulders, hips = np.intersect1d(common, _SHOULDERS), np.intersect1d(common, _HIPS)
    if not len(shoulders) or not len(hips):
        raise InputError(f"a shoulder and a hip must be visible in both pictures, got the points {common.tolist()}")
    before, after = (
        complex(*(body.keypoints[shoulders].mean(0) - body.keypoints[hips].mean(0)).astype(np.float64))
        for body in (reference, target)
    )
    if min(abs(before), abs(after)) < 1.0:
        raise InputError(f"a torso shorter than a pixel shows no turn, got {abs(before):.2g} and {abs(after):.2g}")
    middle, height = _box(reference.silhouette, before, covered_from)
    _, target_height = _box(target.silhouette, after, covered_from)
    turn = after / before
    a = turn / abs(turn) * (target_height / height)
    shift = middle - a * middle
    return Similarity(
        scale=abs(a), angle_radians=float(np.angle(a)), translation_pixels=(float(shift.real), float(shift.imag))
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """A transform of another kind for each frame, in the place of the search."""

    reference: Body
    """Its silhouette is the portrait's mask."""
    searcher: Searcher
    kind: Literal["linear", "affine"]

    def calibration(self, target: Body) -> Calibration | Reason:
        """The frame's calibration with its exact IoU, or why there is none. The silhouettes are not empty."""
        config, own = self.searcher.config, self.reference
        common = common_points(
            own.keypoints, own.visibility, target.keypoints, target.visibility, threshold=config.visibility
        )
        transform: Transform
        try:
            if self.kind == "affine":
                members, transform = common, fit_affine(own.keypoints[common], target.keypoints[common])
            else:
                members = np.intersect1d(common, (*_SHOULDERS, *_HIPS))
                transform = fit_linear(own, target, visible_from=config.visibility, covered_from=config.mask_threshold)
        except InputError as error:
            return f"no {self.kind} transform", str(error)
        sizes = np.linalg.svd(transform.matrix[:, :2], compute_uv=False)
        if not config.minimum_scale <= sizes[1] <= sizes[0] <= config.maximum_scale:
            allowed = f"{config.minimum_scale:g} to {config.maximum_scale:g}"
            return f"no {self.kind} transform", f"it stretches by {sizes[0]:.3g} and {sizes[1]:.3g}, not by {allowed}"
        silhouette = TargetSilhouette.of(target.silhouette, threshold=config.mask_threshold)
        iou = silhouette.iou(self.searcher.silhouette, transform)
        return Calibration(transform, sum(1 << int(point) for point in members), iou)


def _box(mask: NDArray[np.uint8], axis: complex, covered_from: int) -> tuple[complex, float]:
    """The middle and the height of the silhouette's box along `axis`, pixels."""
    rows, columns = np.nonzero(mask >= covered_from)
    if not len(rows):
        raise InputError("an empty silhouette has no box")
    up = axis / abs(axis)
    points = (columns + 0.5 + 1j * (rows + 0.5)) / up
    left, right, low, high = points.imag.min(), points.imag.max(), points.real.min(), points.real.max()
    # a pixel is one long: a silhouette of one row is one high
    return complex(low + high, left + right) / 2 * up, float(high - low + 1.0)
