"""Laying a picture onto a canvas of another shape without stretching it, and the geometry of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import Frame

FitMode = Literal["crop", "pad"]
DEFAULT_FIT_MODE: FitMode = "pad"
"""The whole picture stays on the canvas, so a person at the border is never lost."""

_Pixels = TypeVar("_Pixels", bound=np.generic)


@dataclass(frozen=True, slots=True)
class FitGeometry:
    """Where a source picture lies on the canvas: canvas = source * scale + offset, pixel centres at .5."""

    source_width: int
    source_height: int
    width: int
    """Of the canvas, pixels."""
    height: int
    scaled_width: int
    """Of the whole source on the canvas, in whole pixels; larger than the canvas where it is cropped."""
    scaled_height: int
    left: int
    """The scaled source's left edge on the canvas, pixels; negative where it is cropped."""
    top: int

    @staticmethod
    def of(*, source_width: int, source_height: int, width: int, height: int, mode: FitMode) -> FitGeometry:
        """The centred placement. Raises InputError for an unknown mode or a size below one pixel."""
        if mode not in ("crop", "pad"):
            raise InputError(f"the fit mode is crop or pad, got {mode!r}")
        if min(source_width, source_height, width, height) < 1:
            raise InputError(f"sizes are at least 1 pixel, got {source_width}x{source_height} to {width}x{height}")
        ratios = width / source_width, height / source_height
        scale = min(ratios) if mode == "pad" else max(ratios)
        scaled_width, scaled_height = max(1, round(source_width * scale)), max(1, round(source_height * scale))
        return FitGeometry(
            source_width, source_height, width, height, scaled_width, scaled_height,
            (width - scaled_width) // 2, (height - scaled_height) // 2,
        )  # fmt: skip

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y); they differ by the rounding to whole pixels alone."""
        return self.scaled_width / self.source_width, self.scaled_height / self.source_height

    def to_canvas(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """[..., 2] (x, y) in source pixels to canvas pixels."""
        placed: NDArray[np.float64] = np.asarray(points, np.float64) * self.scale + (self.left, self.top)
        return placed

    def to_source(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """[..., 2] (x, y) in canvas pixels to source pixels."""
        placed: NDArray[np.float64] = (np.asarray(points, np.float64) - (self.left, self.top)) / self.scale
        return placed

    @property
    def inside(self) -> tuple[slice, slice]:
        """(rows, columns) of the canvas that show the source and not padding."""
        return (
            slice(max(0, self.top), min(self.height, self.top + self.scaled_height)),
            slice(max(0, self.left), min(self.width, self.left + self.scaled_width)),
        )

    def apply(self, image: NDArray[_Pixels]) -> NDArray[_Pixels]:
        """The picture on its canvas, see fit_image. Raises InputError if it is not of the source's size."""
        if image.shape[:2] != (self.source_height, self.source_width):
            raise InputError(
                f"this fit is for a picture of {self.source_width}x{self.source_height}, got {image.shape = }"
            )
        if (self.source_width, self.source_height) == (self.width, self.height):
            return image
        scaled = _resize(image, width=self.scaled_width, height=self.scaled_height)
        cropped = scaled[max(0, -self.top) :, max(0, -self.left) :][: self.height, : self.width]
        top, left = max(0, self.top), max(0, self.left)
        below, right = self.height - top - cropped.shape[0], self.width - left - cropped.shape[1]
        edges = [(top, below), (left, right)] + [(0, 0)] * (image.ndim - 2)
        return np.ascontiguousarray(np.pad(cropped, edges, mode="edge"))


def fit_image(
    image: NDArray[_Pixels], *, width: int, height: int, mode: FitMode = DEFAULT_FIT_MODE
) -> NDArray[_Pixels]:
    """The picture on a canvas of width x height, centred, its proportions kept.

    Shrinks by area averaging and enlarges by cubic interpolation; "pad" repeats the edge pixels outwards, so that a
    pose estimator meets no false border; "crop" cuts what stands over.

    Args:
        image: HW or HWC, uint8, uint16 or floating. A picture of the right size comes back as it is.

    Raises InputError for another rank or dtype, an unknown mode, or a size below one pixel.
    """
    return fit_geometry(image, width=width, height=height, mode=mode).apply(image)


def fit_geometry(image: NDArray[Any], *, width: int, height: int, mode: FitMode = DEFAULT_FIT_MODE) -> FitGeometry:
    """Where fit_image lays the picture. Raises InputError as fit_image does."""
    if image.ndim not in (2, 3) or image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise InputError(f"a picture is HW or HWC, uint8, uint16 or floating, got {image.shape = } {image.dtype = }")
    return FitGeometry.of(
        source_width=image.shape[1], source_height=image.shape[0], width=width, height=height, mode=mode
    )


def fit_frames(
    frames: Iterable[Frame], *, width: int, height: int, mode: FitMode = DEFAULT_FIT_MODE
) -> Iterator[Frame]:
    """Each frame on the canvas; its alpha too, which is 0 in the padding, for nobody stands there."""
    for frame in frames:
        geometry = fit_geometry(frame.image, width=width, height=height, mode=mode)
        alpha = frame.alpha
        if alpha is not None:
            fitted = geometry.apply(alpha)
            alpha = np.zeros_like(fitted)
            alpha[geometry.inside] = fitted[geometry.inside]
        yield replace(frame, image=geometry.apply(frame.image), alpha=alpha)


def _resize(image: NDArray[_Pixels], *, width: int, height: int) -> NDArray[_Pixels]:
    """HW or HWC; area averaging down, cubic up."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized: NDArray[Any] = cv2.resize(np.asarray(image), (width, height), interpolation=method)
    return resized.reshape(height, width, *image.shape[2:])  # OpenCV drops a single channel's axis
