"""A person made of 17 coloured dots, and an estimator that finds it: pose tests without a network."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Body

STANDING = np.array(
    [
        (50, 13), (54, 8), (46, 8), (60, 11), (40, 11), (62, 28), (38, 28), (68, 45), (32, 45), (70, 61), (30, 61),
        (57, 60), (43, 60), (58, 80), (42, 80), (58, 98), (42, 98),
    ],
    np.float64,
)  # fmt: skip
"""[17, 2] in COCO order: facing the viewer, in a square of 100."""

COLOURS = np.array([(60 + 60 * (k % 4), 60 + 60 * (k // 4), 240) for k in range(16)] + [(0, 0, 240)], np.float64)
"""Far enough apart for rounding, and none is another mixed with black, as happens at the dots' edges."""


def draw_person(
    *, width: int, height: int, scale: float = 3.0, left: float = 0.0, top: float = 0.0, degrees: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture (HWC RGB uint8, black) and the dots' true places [17, 2]; turned about the figure's centre."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    places = (STANDING - 50) @ np.array([[c, s], [-s, c]]) * scale + 50 * scale + (left, top)
    image = np.zeros((height, width, 3), np.uint8)
    for place, colour in zip(places, COLOURS, strict=True):
        centre = np.rint((place - 0.5) * 16).astype(int)
        radius = round(1.4 * scale)
        cv2.circle(image, tuple(map(int, centre)), radius * 16, tuple(map(int, colour)), -1, cv2.LINE_8, shift=4)
    return image, places


def find_person(image: NDArray[np.uint8]) -> Body | None:
    """The dots' centres; the silhouette is their box's hull. None where a dot is missing."""
    keypoints = np.empty((17, 2), np.float32)
    rows, columns = np.nonzero(image[..., 2] > 200)
    pixels = image[rows, columns].astype(np.float64)
    for k, colour in enumerate(COLOURS):
        own = np.abs(pixels - colour).max(axis=1) < 12
        if own.sum() < 4:
            return None
        keypoints[k] = columns[own].mean() + 0.5, rows[own].mean() + 0.5
    silhouette = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(silhouette, cv2.convexHull(np.rint(keypoints).astype(np.int32)), 255)
    return Body(keypoints=keypoints, visibility=np.full(17, 0.9, np.float32), silhouette=silhouette)


class DotEstimator:
    """An Estimator over `find_person`; `spoil(call, body)` may change the n-th answer."""

    def __init__(self, spoil: Callable[[int, Body | None], Body | None] = lambda call, body: body) -> None:
        self.calls = 0
        self.closed = False
        self._spoil = spoil

    def estimate(self, image: NDArray[np.uint8]) -> Body | None:
        body = self._spoil(self.calls, find_person(image))
        self.calls += 1
        return body

    def estimate_all(self, image: NDArray[np.uint8]) -> list[Body]:
        body = find_person(image)
        return [] if body is None else [body]

    def close(self) -> None:
        self.closed = True
