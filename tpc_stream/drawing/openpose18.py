"""The 18-point OpenPose drawing: joints first, then limbs blended over them one after the other."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.drawing.limbs import COLOURS, JOINT_PIXELS, LIMBS, body_points, limb_polygon
from tpc_stream.errors import InputError

_KEPT, _ADDED = 0.4, 0.6


def draw_openpose18(
    keypoints: NDArray[np.floating],
    visibility: NDArray[np.floating],
    *,
    width: int,
    height: int,
    threshold: float = 0.3,
) -> NDArray[np.uint8]:
    """HWC RGB uint8 on black.

    Args:
        keypoints: [17, 2] COCO (x, y) in pixels of a width x height picture.
        visibility: [17] in [0, 1]; a point is drawn above the threshold.
    """
    if keypoints.shape != (17, 2) or visibility.shape != (17,):
        raise InputError(f"an OpenPose drawing takes 17 points, got {keypoints.shape = } {visibility.shape = }")
    points, seen = body_points(keypoints, visibility, threshold=threshold)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    for (x, y), is_seen, colour in zip(points, seen, COLOURS, strict=True):
        if is_seen:
            cv2.circle(canvas, (int(x), int(y)), JOINT_PIXELS, colour, thickness=-1)
    for (start, end), colour in zip(LIMBS, COLOURS[: len(LIMBS)], strict=True):
        if seen[start] and seen[end]:
            over = cv2.fillConvexPoly(canvas.copy(), limb_polygon(points[start], points[end]), colour)
            canvas = np.asarray(cv2.addWeighted(canvas, _KEPT, over, _ADDED, 0), dtype=np.uint8)
    return canvas
