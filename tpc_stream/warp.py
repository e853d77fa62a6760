"""Lay a picture under a similarity transform: what the search measures is what the pipeline shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity, Transform

SHRINK_LIMIT = 0.7
"""Below this scale a picture is halved by area means first, until what is left to shrink is not below it."""


def rescaled(transform: Similarity, *, source: float = 1.0, target: float = 1.0) -> Similarity:
    """The same transform for a reference `source` times as large and a canvas `target` times as large.

    For a picture kept at another size than the analysis canvas: `rescaled(t, source=w / canvas_w)`.
    """
    if not (source > 0 and target > 0):
        raise InputError(f"a size ratio is above 0, got {source = } {target = }")
    x, y = transform.translation_pixels
    return Similarity(
        scale=transform.scale * target / source,
        angle_radians=transform.angle_radians,
        translation_pixels=(x * target, y * target),
    )


@dataclass(frozen=True, slots=True)
class Warper:
    """A picture prepared to be warped again and again: its halvings are made once, on first use."""

    levels: list[NDArray[np.uint8]]
    outside: tuple[int, ...]
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of what is not 0 in the last channel, half open."""

    @classmethod
    def of(cls, picture: NDArray[np.uint8], outside: tuple[int, ...]) -> Warper:
        """`picture` HW or HWC uint8; `outside` is the value of each channel beyond its edges."""
        picture = np.ascontiguousarray(picture)
        left, top, width, height = cv2.boundingRect(picture if picture.ndim == 2 else picture[..., -1].copy())
        return cls([picture], outside, (left, top, left + width, top + height))

    @classmethod
    def of_person(cls, image: NDArray[np.uint8], mask: NDArray[np.uint8], *, fill: int = 128) -> Warper:
        """The person of `image` HWC RGB uint8 on grey `fill`, with its `mask` HW uint8: see `warp`."""
        return cls.of(np.dstack([screened(image, mask, fill=fill), mask]), (fill, fill, fill, 0))

    def warp_person(
        self, transform: Transform, *, width: int, height: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What `warp` gives, of the person that `of_person` prepared."""
        warped = self.warp(transform, width=width, height=height)
        return np.ascontiguousarray(warped[..., :3]), np.ascontiguousarray(warped[..., 3])

    def landing_box(self, transform: Transform, *, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of where `box` lands on the canvas, half open; at least one pixel."""
        left, top, right, bottom = self.box
        corners = np.array([[left, right, right, left], [top, top, bottom, bottom], [1, 1, 1, 1]], np.float64)
        landed = transform.matrix @ corners
        margin = 2 + transform.stretch * 2.0 ** _level(transform.stretch)  # what means and bilinear weights spread
        x, y = np.clip(landed[0], -margin, width + margin), np.clip(landed[1], -margin, height + margin)
        first, above = max(0, int(x.min() - margin)), max(0, int(y.min() - margin))
        last, below = min(width, int(x.max() + margin) + 1), min(height, int(y.max() + margin) + 1)
        first, above = min(first, width - 1), min(above, height - 1)
        return first, above, max(last, first + 1), max(below, above + 1)

    def prepared(
        self, transform: Transform, *, corner: tuple[int, int] = (0, 0)
    ) -> tuple[int, NDArray[np.uint8], NDArray[np.float64]]:
        """How often the picture is halved for this transform, the halved picture, and what is left to do.

        That is [2, 3] from its pixels to those of the canvas, both counted from pixel centres.
        """
        level = _level(transform.stretch)
        while len(self.levels) <= level:
            self.levels.append(_halved(self.levels[-1]))
        small, full = self.levels[level], self.levels[0]
        matrix = transform.matrix
        linear, shift = matrix[:, :2], matrix[:, 2]
        ratios = np.array([full.shape[1] / small.shape[1], full.shape[0] / small.shape[0]])
        # cv2 counts from pixel centres at .0, we from pixel centres at .5
        to_canvas = np.column_stack([linear * ratios, linear @ (ratios * 0.5) + shift - 0.5 - corner])
        return level, small, to_canvas

    def warp(
        self, transform: Transform, *, width: int, height: int, corner: tuple[int, int] = (0, 0)
    ) -> NDArray[np.uint8]:
        """The picture under the transform on a canvas of `width` x `height`, bilinear after area means.

        `corner` (x, y): the canvas is that part of a larger one which begins there.
        """
        _, small, to_canvas = self.prepared(transform, corner=corner)
        warped = cv2.warpAffine(
            small, to_canvas, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
            borderValue=self.outside,
        )  # fmt: skip
        return np.asarray(warped, dtype=np.uint8)


def _level(scale: float) -> int:
    return 0 if scale >= SHRINK_LIMIT else math.ceil(math.log2(SHRINK_LIMIT / scale))


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    return np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def screened(image: NDArray[np.uint8], mask: NDArray[np.uint8], *, fill: int = 128) -> NDArray[np.uint8]:
    """The picture with its background replaced by grey `fill`, blended by the mask's coverage. HWC uint8."""
    if image.ndim != 3 or image.shape[2] != 3 or mask.shape != image.shape[:2]:
        raise InputError(f"screening takes an image HWC RGB and a mask HW of its size, got {image.shape} {mask.shape}")
    if not 0 <= fill <= 255:
        raise InputError(f"the fill is a grey level in [0, 255], got {fill = }")
    cover = mask[..., None].astype(np.uint16)
    blend = image * cover + np.uint16(fill) * (255 - cover)
    return ((blend + 127) // 255).astype(np.uint8)


def warp(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    transform: Transform,
    *,
    width: int,
    height: int,
    fill: int = 128,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The calibrated image C_i and its mask: the reference, screened by its mask, under the transform (section 4.1).

    `image` HWC RGB uint8 and `mask` HW uint8 [0, 255]; the answer has `width` x `height` pixels. The picture is blended
    with `fill` before it is warped, which is the same as warping premultiplied colours and blending after, since
    the fill is one colour: no background bleeds into the border, and the answer needs no further screening.
    Raises InputError where the sizes differ or the canvas is empty.
    """
    if width < 1 or height < 1:
        raise InputError(f"a canvas has at least one pixel, got {width = } {height = }")
    if not (math.isfinite(transform.stretch) and transform.stretch > 0):
        raise InputError(f"a transform to warp by has a scale above 0, got {transform.scale = }")
    return Warper.of_person(image, mask, fill=fill).warp_person(transform, width=width, height=height)
