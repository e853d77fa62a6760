"""Simple people for tests: 17 keypoints and the silhouette drawn around them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Similarity

STANDING = np.array(
    [
        (0, -90), (5, -95), (-5, -95), (10, -92), (-10, -92), (22, -62), (-22, -62), (34, -30), (-34, -30), (40, 0),
        (-40, 0), (14, 2), (-14, 2), (17, 45), (-17, 45), (18, 88), (-18, 88),
    ],
    dtype=np.float32,
)  # fmt: skip
"""[17, 2] about the hips' middle, pixels, 190 high."""
BONES = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))


def placed(points: NDArray[np.float32], transform: Similarity) -> NDArray[np.float32]:
    """The points under a transform."""
    return (points @ transform.matrix[:, :2].T + transform.matrix[:, 2]).astype(np.float32)


def silhouette(points: NDArray[np.float32], *, width: int = 256, height: int = 256) -> NDArray[np.uint8]:
    """HW uint8: trunk, head and limbs, as thick as the body is long. Drawn four times as large, for soft edges."""
    points = points * 4
    mask = np.zeros((height * 4, width * 4), np.uint8)
    long = float(np.linalg.norm(points[5:7].mean(0) - points[11:13].mean(0)))
    thick = max(1, round(long / 4))

    def pixel(p: NDArray[np.float32]) -> tuple[int, int]:
        return round(float(p[0])), round(float(p[1]))

    cv2.fillConvexPoly(mask, np.array([pixel(points[i]) for i in (5, 6, 12, 11)]), 255)
    for a, b in BONES:
        cv2.line(mask, pixel(points[a]), pixel(points[b]), 255, thick)
    cv2.circle(mask, pixel(points[:5].mean(0)), max(1, round(long / 3.5)), 255, -1)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def bent(points: NDArray[np.float32], *, seed: int, pixels: float) -> NDArray[np.float32]:
    """The same person with other limbs: elbows, wrists, knees and ankles moved at random."""
    moved = points.copy()
    moved[[7, 8, 9, 10, 13, 14, 15, 16]] += np.random.default_rng(seed).normal(0, pixels, (8, 2)).astype(np.float32)
    return moved
