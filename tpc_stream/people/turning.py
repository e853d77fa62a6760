"""Turn a picture about its centre, and take what was found in it back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Body


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A turn about the picture's centre onto a canvas that still holds all of it."""

    degrees: float
    """Positive is clockwise on the screen."""
    matrix: NDArray[np.float64]
    """[2, 3]: from the picture to the turned one, pixels with centres at .5."""
    size: tuple[int, int]
    """(width, height) of the picture."""
    turned_size: tuple[int, int]
    """(width, height) of the turned one."""


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


def undo_turn(body: Body, turn: Turn) -> Body:
    """A body found in the turned picture, in pixels of the picture itself."""
    rotation, shift = turn.matrix[:, :2], turn.matrix[:, 2]
    keypoints = (body.keypoints.astype(np.float64) - shift) @ rotation  # the transpose of a rotation undoes it
    silhouette = cv2.warpAffine(
        body.silhouette,
        _for_opencv(turn.matrix),
        turn.size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return Body(
        keypoints=keypoints.astype(np.float32),
        visibility=body.visibility,
        silhouette=silhouette.astype(np.uint8, copy=False),
    )


def _for_opencv(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same map where pixel centres lie at whole numbers, as OpenCV has them."""
    shift = matrix[:, 2] + matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return np.column_stack([matrix[:, :2], shift])
