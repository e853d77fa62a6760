"""Made-up frames, bodies and portraits for tests: a stick person whose place is known."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import IDENTITY, Body, CalibratedFrame, Calibration, Frame, Portrait, PosedFrame, Similarity

# (x, y) of the 17 points of a standing person, in units of the picture
STANDING = np.array(
    [
        (0.50, 0.18), (0.52, 0.16), (0.48, 0.16), (0.54, 0.17), (0.46, 0.17),
        (0.58, 0.30), (0.42, 0.30), (0.64, 0.42), (0.36, 0.42), (0.68, 0.54), (0.32, 0.54),
        (0.55, 0.56), (0.45, 0.56), (0.56, 0.72), (0.44, 0.72), (0.57, 0.88), (0.43, 0.88),
    ],
    dtype=np.float32,
)  # fmt: skip
LIMBS = [(5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (11, 12), (5, 11), (6, 12), (11, 13), (13, 15), (12, 14), (14, 16)]


def silhouette(points: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    thick = max(2, width // 12)
    for a, b in LIMBS:
        cv2.line(mask, points[a].round().astype(int).tolist(), points[b].round().astype(int).tolist(), 255, thick)
    torso = points[[5, 6, 12, 11]].round().astype(np.int32)
    cv2.fillConvexPoly(mask, torso, 255)
    cv2.circle(mask, points[0].round().astype(int).tolist(), thick, 255, -1)
    return mask


def body(width: int = 64, height: int = 64, *, move: Similarity = IDENTITY) -> Body:
    points = STANDING * np.array([width, height], dtype=np.float32)
    matrix = move.matrix
    points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return Body(points, np.ones(17, np.float32), silhouette(points, width, height))


def portrait(width: int = 64, height: int = 64) -> Portrait:
    own = body(width, height)
    image = np.full((height, width, 3), (30, 60, 90), np.uint8)
    image[own.silhouette > 0] = (220, 40, 40)
    return Portrait(image=image, mask=own.silhouette, body=own)


def frame(index: int, *, rate: int = 25, width: int = 64, height: int = 64) -> Frame:
    image = np.full((height, width, 3), (index * 7) % 256, np.uint8)
    return Frame(index, Fraction(index, rate), image, captured_seconds=index / rate)


def posed(count: int, *, lost: tuple[int, ...] = (), first: int = 0) -> list[PosedFrame]:
    return [PosedFrame(frame(k), None if k in lost else body(move=walk(k))) for k in range(first, first + count)]


def walk(index: int) -> Similarity:
    return Similarity(scale=1.0, angle_radians=0.0, translation_pixels=(float(index % 5), float(index % 3)))


def calibrated(count: int, *, lost: tuple[int, ...] = (), first: int = 0) -> list[CalibratedFrame]:
    return [
        CalibratedFrame(item.frame, item.body, Calibration(walk(item.frame.index), subset=0b1111, iou=0.5))
        for item in posed(count, lost=lost, first=first)
    ]
