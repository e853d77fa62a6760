"""The calibrated reference at the best quality its picture has: warped once, from its own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.fit import FitGeometry, FitMode
from tpc_stream.frame import Affine, Portrait, Transform
from tpc_stream.warp import Warper, screened

FILL = 128
"""The grey around the calibrated person, as the paper's C_i has it."""
LONGEST_SIDE_PIXELS = 4096
"""A larger reference is shrunk to it first: its halvings would take gigabytes."""


@dataclass(frozen=True, slots=True)
class FullReference:
    """The reference, ready to be laid onto frames of the canvas.

    A transform belongs to the portrait, which was fitted to the canvas; where that made the picture smaller, the fit
    and the transform are one warp here, so that a person who comes nearer is as sharp as the picture allows.
    """

    warper: Warper
    canvas_from_picture: NDArray[np.float64]
    """[2, 3] of the fit: from pixels of what is warped to pixels of the canvas."""
    width: int
    """Of the canvas, pixels."""
    height: int

    @classmethod
    def of(
        cls, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None, *, portrait: Portrait, fit_mode: FitMode
    ) -> FullReference:
        """`image` HWC RGB uint8: the whole reference picture; `mask` HW uint8 [0, 255], of its size, its own mask;
        None where it was estimated: then the portrait's is enlarged. What a crop cuts off stays cut off.
        """
        height, width = portrait.mask.shape
        fit = FitGeometry.of(
            source_width=image.shape[1], source_height=image.shape[0], width=width, height=height, mode=fit_mode
        )
        if fit.scale[0] >= 1.0:
            return cls(_warper(portrait.image, portrait.mask), np.eye(2, 3), width, height)
        shrink = min(1.0, LONGEST_SIDE_PIXELS / max(image.shape[:2]))
        size = max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink))
        image = _resize(image, size)
        # the part of the picture that lies on the canvas, in pixels of the picture
        rows, columns = fit.inside
        scale = fit.scaled_width / size[0], fit.scaled_height / size[1]
        left, right = (round((edge - fit.left) / scale[0]) for edge in (columns.start, columns.stop))
        top, bottom = (round((edge - fit.top) / scale[1]) for edge in (rows.start, rows.stop))
        known = np.zeros(image.shape[:2], np.uint8)
        if mask is not None:
            known[top:bottom, left:right] = _resize(mask, size)[top:bottom, left:right]
        else:
            known[top:bottom, left:right] = _resize(portrait.mask[fit.inside], (right - left, bottom - top))
        placed = np.array([[scale[0], 0.0, fit.left], [0.0, scale[1], fit.top]])
        return cls(_warper(image, known), placed, width, height)

    def calibrated(self, transform: Transform) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The calibrated image, HWC RGB uint8 on grey, and its mask, HW uint8 [0, 255], of the canvas' size."""
        linear, shift = transform.matrix[:, :2], transform.matrix[:, 2:]
        whole = linear @ self.canvas_from_picture + np.hstack([np.zeros((2, 2)), shift])
        warped = self.warper.warp(Affine(whole), width=self.width, height=self.height)
        return np.ascontiguousarray(warped[..., :3]), np.ascontiguousarray(warped[..., 3])


def _warper(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Warper:
    return Warper.of(np.dstack([screened(image, mask, fill=FILL), mask]), (FILL, FILL, FILL, 0))


def _resize(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """HW or HWC to `size` (width, height)."""
    if picture.shape[1::-1] == size:
        return picture
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)
