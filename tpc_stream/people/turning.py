"""Look at a picture turned, or at a part of it upright and close, and take what was found back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Body

MIRRORED_POINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""For each keypoint the one that takes its place in a mirror: left for right."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A similarity from a picture to a canvas, with or without a mirror."""

    degrees: float
    """Positive is clockwise on the screen."""
    matrix: NDArray[np.float64]
    """[2, 3]: from the picture to the turned one, pixels with centres at .5."""
    size: tuple[int, int]
    """(width, height) of the picture."""
    turned_size: tuple[int, int]
    """(width, height) of the turned one."""
    mirrored: bool = False
    """Whether left and right change places, after the turn."""


def turn_for(width: int, height: int, *, degrees: float) -> Turn:
    """The turn of a `width` x `height` picture by `degrees` (clockwise) onto the smallest canvas that holds it."""
    radians = np.deg2rad(degrees)
    c, s = float(np.cos(radians)), float(np.sin(radians))
    # rounded before ceil: at 90 degrees the cosine is 6e-17, which must not cost a pixel
    turned_width = int(np.ceil(round(abs(c) * width + abs(s) * height, 6)))
    turned_height = int(np.ceil(round(abs(s) * width + abs(c) * height, 6)))
    rotation = np.array([[c, -s], [s, c]])
    shift = np.array([turned_width, turned_height]) / 2 - rotation @ (np.array([width, height]) / 2)
    return Turn(degrees, np.column_stack([rotation, shift]), (width, height), (turned_width, turned_height))


def turn_image(image: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    """`image` (HWC or HW uint8) turned; the corners outside repeat its edge, which disturbs the detector least."""
    turned = cv2.warpAffine(
        image, _for_opencv(turn.matrix), turn.turned_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return turned.astype(np.uint8, copy=False)


def turn_to(
    body: Body, *, angle_degrees: float, size: tuple[int, int], pixels: int, fill: float, mirrored: bool
) -> Turn:
    """The view of `pixels` x `pixels` in which `body` is turned by `angle_degrees` (clockwise) and centred.

    `size` is (width, height) of the body's picture; the longer side of its keypoints and silhouette together fills
    the share `fill` of the view.
    """
    radians = np.deg2rad(angle_degrees)
    c, s = float(np.cos(radians)), float(np.sin(radians))
    rotation = np.array([[c, -s], [s, c]])
    contours, _ = cv2.findContours(
        (body.silhouette >= 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    points = np.concatenate([body.keypoints.astype(np.float64), *(c.reshape(-1, 2) + 0.5 for c in contours)])
    turned = points @ rotation.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = fill * pixels / max(float((high - low).max()), 1.0)
    linear = scale * rotation
    shift = pixels / 2 - scale * (low + high) / 2
    if mirrored:
        linear, shift = np.diag([-1.0, 1.0]) @ linear, np.array([pixels - shift[0], shift[1]])
    return Turn(angle_degrees, np.column_stack([linear, shift]), size, (pixels, pixels), mirrored)


def undo_turn(body: Body, turn: Turn) -> Body:
    """A body found in the turned picture, in pixels of the picture itself."""
    linear, shift = turn.matrix[:, :2], turn.matrix[:, 2]
    keypoints, visibility = (body.keypoints.astype(np.float64) - shift) @ np.linalg.inv(linear).T, body.visibility
    if turn.mirrored:
        keypoints, visibility = keypoints[list(MIRRORED_POINTS)], visibility[list(MIRRORED_POINTS)]
    silhouette = cv2.warpAffine(
        body.silhouette,
        _for_opencv(turn.matrix),
        turn.size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return Body(
        keypoints=keypoints.astype(np.float32),
        visibility=visibility,
        silhouette=silhouette.astype(np.uint8, copy=False),
    )


def _for_opencv(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same map where pixel centres lie at whole numbers, as OpenCV has them."""
    shift = matrix[:, 2] + matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return np.column_stack([matrix[:, :2], shift])
