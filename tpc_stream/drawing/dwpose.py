"""The body drawing of DWPose: dimmed limbs, bright joints; hands and a face where their points are given."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.drawing.limbs import COLOURS, JOINT_PIXELS, LIMBS, body_points, limb_polygon
from tpc_stream.errors import InputError

THRESHOLD = 0.3
"""Points less sure than this are not drawn."""
_DIMMED = 0.6
_FACE = slice(24, 92)
_HANDS = (slice(92, 113), slice(113, 134))
"""Of the 134 points: 133 of the COCO whole body and the neck, which stands before the feet."""
_FINGERS = tuple((0 if k % 4 == 0 else k, k + 1) for k in range(20))
_LINE_PIXELS, _DOT_PIXELS, _FACE_PIXELS = 2, 4, 3
_LEAST = 0.01
"""Pixels: hands and faces at the very edge are left out."""


def draw_dwpose(
    keypoints: NDArray[np.floating], scores: NDArray[np.floating], *, width: int, height: int
) -> NDArray[np.uint8]:
    """HWC RGB uint8 on black.

    Args:
        keypoints: [17, 2] COCO, or [133, 2] COCO whole body: (x, y) in pixels of a width x height picture.
        scores: [17] or [133].
    """
    if keypoints.shape not in ((17, 2), (133, 2)) or scores.shape != keypoints.shape[:1]:
        raise InputError(f"a DWPose drawing takes 17 or 133 points, got {keypoints.shape = } {scores.shape = }")
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    points, seen = body_points(keypoints[:17], scores[:17], threshold=THRESHOLD)
    for (start, end), colour in zip(LIMBS, COLOURS[: len(LIMBS)], strict=True):
        if seen[start] and seen[end]:
            cv2.fillConvexPoly(canvas, limb_polygon(points[start], points[end]), colour)
    canvas = (canvas * _DIMMED).astype(np.uint8)
    for (x, y), is_seen, colour in zip(points, seen, COLOURS, strict=True):
        if is_seen:
            cv2.circle(canvas, (int(x), int(y)), JOINT_PIXELS, colour, thickness=-1)
    if len(keypoints) == 133:
        whole = np.where((scores >= THRESHOLD)[:, None], keypoints, -1.0)
        whole = np.insert(whole, 17, -1.0, axis=0)  # the neck takes a place; it is no part of hands and face
        for hand in _HANDS:
            _draw_hand(canvas, whole[hand])
        for x, y in whole[_FACE]:
            if int(x) > _LEAST and int(y) > _LEAST:
                cv2.circle(canvas, (int(x), int(y)), _FACE_PIXELS, (255, 255, 255), thickness=-1)
    return canvas


def most_certain(scores: NDArray[np.floating]) -> int:
    """Which person of [people, 17 or 133] scores is drawn: the highest mean over the body's 18 points.

    A neck counts 1 where both shoulders are sure enough to be drawn, and 0 otherwise.
    """
    neck = (scores[:, 5:7] > THRESHOLD).all(axis=1, keepdims=True)
    return int(np.concatenate([scores[:, :17], neck], axis=1).mean(axis=1).argmax())


def _draw_hand(canvas: NDArray[np.uint8], points: NDArray[np.floating]) -> None:
    whole = points.astype(int)
    for k, (start, end) in enumerate(_FINGERS):
        if whole[[start, end]].min() > _LEAST:
            colour = [255 * value for value in colorsys.hsv_to_rgb(k / len(_FINGERS), 1.0, 1.0)]
            cv2.line(canvas, whole[start].tolist(), whole[end].tolist(), colour, thickness=_LINE_PIXELS)
    for x, y in whole.tolist():
        if x > _LEAST and y > _LEAST:
            cv2.circle(canvas, (x, y), _DOT_PIXELS, (0, 0, 255), thickness=-1)
