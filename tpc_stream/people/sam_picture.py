"""A picture on its way into SAM and a mask on its way back: the longer side fills SAM's square, the rest is padding."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SamPlacement:
    """Where a picture of `width` x `height` lies in SAM's square: at its top left corner."""

    width: int
    height: int
    size: int
    """Pixels: the side of the square."""
    resized: tuple[int, int]
    """(width, height) of the picture in the square."""

    @staticmethod
    def of(width: int, height: int, *, size: int) -> SamPlacement:
        """The longer side becomes `size`; halves are rounded up."""
        scale = size / max(width, height)
        return SamPlacement(width, height, size, (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))))

    def prompt(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """[P, 2] (x, y) in pixels of the picture, centres at .5, as SAM is told them.

        SAM counts from pixel centres at .0 and adds the half itself, after the resize.
        """
        return ((points - 0.5) * (np.array(self.resized) / (self.width, self.height))).astype(np.float32)


def placed(image: NDArray[np.uint8], place: SamPlacement) -> NDArray[np.uint8]:
    """HWC RGB uint8, resized as SAM's own code does it: linearly, and where it shrinks with a wider triangle.

    Within one grey level of the Pillow library's result, in which SAM was trained.
    """
    width, height = place.resized
    rows = _weights(image.shape[0], height)
    columns = _weights(image.shape[1], width)
    narrow = np.einsum("wx,hxc->hwc", columns, image.astype(np.float32), optimize=True)
    resized = np.einsum("hy,ywc->hwc", rows, narrow, optimize=True)
    return np.asarray(np.clip(np.rint(resized), 0, 255), dtype=np.uint8)


def _weights(size: int, wanted: int) -> NDArray[np.float32]:
    """[wanted, size]: what each new sample takes from the old ones; every row sums to 1."""
    ratio = size / wanted
    reach = max(1.0, ratio)
    centres = (np.arange(wanted) + 0.5) * ratio
    apart = np.abs(centres[:, None] - (np.arange(size) + 0.5)) / reach
    weights = np.maximum(0.0, 1.0 - apart)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def normalised(
    image: NDArray[np.uint8], *, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """[3, size, size] float32: (pixel - mean) / std, and zeros to the right and below."""
    square = np.zeros((3, size, size), np.float32)
    values = (image.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
    square[:, : image.shape[0], : image.shape[1]] = values.transpose(2, 0, 1)
    return square


def to_picture(logits: NDArray[np.float32], place: SamPlacement) -> NDArray[np.float32]:
    """A mask's logits [4 cells, 4 cells] at the picture's size: up to the square, without the padding, and back."""
    square = cv2.resize(logits, (place.size, place.size), interpolation=cv2.INTER_LINEAR)
    width, height = place.resized
    inside = np.ascontiguousarray(square[:height, :width])
    return np.asarray(cv2.resize(inside, (place.width, place.height), interpolation=cv2.INTER_LINEAR), np.float32)
