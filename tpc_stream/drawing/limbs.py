"""The 18 points and 17 limbs that the drawings of the OpenPose family share, and how a limb becomes an ellipse."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
"""[18, 2] (x, y) in pixels; see `FROM_COCO` for the order."""

FROM_COCO: tuple[int, ...] = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""The COCO keypoint that each of the 18 points is; -1: the neck, the middle between the shoulders.
Nose, neck, right arm, left arm, right leg, left leg, right eye, left eye, right ear, left ear."""
LEFT_SHOULDER, RIGHT_SHOULDER = 5, 6

LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
"""RGB: one for each point; the limbs take the first 17."""
STICK_PIXELS = 4
"""Half the width of a limb."""
JOINT_PIXELS = 4
"""The radius of a point."""


def body_points(
    keypoints: NDArray[np.floating], visibility: NDArray[np.floating], *, threshold: float
) -> tuple[Points, NDArray[np.bool_]]:
    """The 18 points of a body and which of them are seen; the neck is, where both shoulders are.

    Args:
        keypoints: [17, 2] (x, y), COCO order.
        visibility: [17]; a point is seen where it is above the threshold.
    """
    seen = visibility > threshold
    neck = (keypoints[LEFT_SHOULDER] + keypoints[RIGHT_SHOULDER]) / 2
    points = np.array([neck if k < 0 else keypoints[k] for k in FROM_COCO])
    both = bool(seen[LEFT_SHOULDER] and seen[RIGHT_SHOULDER])
    return points, np.array([both if k < 0 else bool(seen[k]) for k in FROM_COCO])


def limb_polygon(start: NDArray[np.floating], end: NDArray[np.floating]) -> NDArray[np.int32]:
    """An ellipse from one point to the other, as the polygon that the published drawings fill: whole pixels, degrees
    cut down to whole ones."""
    middle, reach = (start + end) / 2, start - end
    length = math.hypot(float(reach[0]), float(reach[1]))
    degrees = math.degrees(math.atan2(float(reach[1]), float(reach[0])))
    centre = (int(middle[0]), int(middle[1]))
    polygon = cv2.ellipse2Poly(centre, (int(length / 2), STICK_PIXELS), int(degrees), 0, 360, 1)
    return np.asarray(polygon, dtype=np.int32)
