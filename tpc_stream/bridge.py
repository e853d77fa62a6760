"""From poses and calibrations that follow one past to those that follow another: a chunk's way into the next."""

from __future__ import annotations

from cmath import phase
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Body, CalibratedFrame, Similarity
from tpc_stream.procrustes import Searcher
from tpc_stream.silhouettes import TargetSilhouette


@dataclass(frozen=True, slots=True)
class Bridge:
    """Where the poses and calibrations pass into those of the next chunk; global indices."""

    begins: int
    """The first frame that the next chunk looks at: its tracker and its steadying know none before."""
    leaves: int
    """The first frame that is moved towards it."""
    arrives: int
    """From this frame on, the next chunk's own, all is as there."""

    def weight(self, index: int) -> float:
        """Of the next chunk's, [0, 1], rising evenly."""
        return min(1.0, max(0.0, (index - self.leaves + 1) / (self.arrives - self.leaves + 1)))


def between(one: CalibratedFrame, other: CalibratedFrame, weight: float, searcher: Searcher) -> CalibratedFrame:
    """The same frame as two parts see it, gone over from `one` to `other` by `weight`, [0, 1].

    Between two similarity transforms lie the means of their matrices; where either frame has no transform of its own,
    the nearer of the two calibrations holds, and so with poses.
    """
    near = other if weight > 0.5 else one
    if weight in (0.0, 1.0) or one.body is None or other.body is None or near.body is None:
        return near
    body = Body(
        keypoints=_mean(one.body.keypoints, other.body.keypoints, weight),
        visibility=_mean(one.body.visibility, other.body.visibility, weight),
        silhouette=near.body.silhouette,
    )
    a, b = one.calibration, other.calibration
    if a.status != "fresh" or b.status != "fresh":
        return replace(near, body=body)
    if not (isinstance(a.transform, Similarity) and isinstance(b.transform, Similarity)):
        return replace(near, body=body)
    matrix = (1 - weight) * a.transform.matrix + weight * b.transform.matrix
    turn = complex(matrix[0, 0], matrix[1, 0])
    if not turn:
        return replace(near, body=body)
    transform = Similarity(abs(turn), phase(turn), (float(matrix[0, 2]), float(matrix[1, 2])))
    target = TargetSilhouette.of(body.silhouette, threshold=searcher.config.mask_threshold)
    iou = target.iou(searcher.silhouette, transform)
    return CalibratedFrame(one.frame, body, replace(near.calibration, transform=transform, iou=iou))


def _mean(one: NDArray[np.float32], other: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    return np.asarray((1 - weight) * one + weight * other, dtype=np.float32)
