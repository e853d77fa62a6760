"""Photographs for cloth prints and backgrounds: those that scikit-image ships and that are free."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FREE_PICTURES = {
    "train": ("astronaut", "chelsea", "brick", "grass", "gravel", "camera"),
    "test": ("coffee", "rocket"),
}
"""astronaut and rocket: public domain (NASA, SpaceX); the rest: CC0."""


def load_pictures(split: str) -> list[NDArray[np.uint8]]:
    """HWC RGB uint8 pictures; train and test share none."""
    from skimage import data

    pictures = [getattr(data, name)() for name in FREE_PICTURES[split]]
    return [p if p.ndim == 3 else np.repeat(p[..., None], 3, 2) for p in pictures]


def picture_patch(rng: np.random.Generator, pictures: list[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    """[size, size, 3] a random cut of a random picture, mirrored, recoloured or inverted at random."""
    picture = pictures[rng.integers(len(pictures))]
    side = int(rng.uniform(0.25, 0.95) * min(picture.shape[:2]))
    y, x = rng.integers(picture.shape[0] - side + 1), rng.integers(picture.shape[1] - side + 1)
    patch = cv2.resize(picture[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    if rng.random() < 0.4:
        patch = patch[..., rng.permutation(3)]
    if rng.random() < 0.2:
        patch = 255.0 - patch
    patch = patch * rng.uniform(0.6, 1.1, 3) + rng.uniform(-20, 30)
    return np.ascontiguousarray(patch.clip(0, 255).astype(np.uint8))
