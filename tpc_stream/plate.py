"""The background plate: the reference without its person, onto which the animated person is laid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_GROW = 0.02  # of the picture's size: soft borders and shadows at the feet belong to the person
_WORK_PIXELS = 192  # the hole is filled at this height: inpainting costs per pixel, and what it invents has no detail


def background_plate(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paints the person out of a picture, from the background around it.

    Args:
        image: HWC RGB uint8.
        mask: HW uint8, coverage of the person.

    Returns:
        HWC RGB uint8; outside the grown mask it is the picture itself.
    """
    height, width = mask.shape
    radius = max(1, round(max(height, width) * _GROW))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    hole = cv2.dilate((mask > 25).astype(np.uint8), kernel)
    if not hole.any():
        return image.copy()
    if hole.all():
        return np.full_like(image, 128)
    scale = min(1.0, _WORK_PIXELS / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # what is small is averaged over known pixels only, or the person's colours would leak into the fill
    weight = (1 - hole).astype(np.float32)
    small_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(image * weight[..., None], size, interpolation=cv2.INTER_AREA)
    small = (small / np.maximum(small_weight, 1e-3)[..., None]).clip(0, 255).astype(np.uint8)
    filled = cv2.inpaint(small, (small_weight < 0.05).astype(np.uint8), 5, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    blend = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), radius / 2)
    blend = np.maximum(blend, (mask > 25).astype(np.float32))[..., None]
    return np.asarray((image * (1 - blend) + filled * blend).round(), dtype=np.uint8)


def composite(
    image: NDArray[np.float32], matte: NDArray[np.float32], plate: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The person over the plate: HWC and HW in one value range; matte in [0, 1]."""
    return plate + matte[..., None] * (image - plate)
