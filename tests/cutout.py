"""The man of the samples, cut out of his plain wall by his colours, and laid onto other backgrounds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_SHOES = (
    ((246, 838), (250, 826), (280, 828), (285, 850), (283, 872), (270, 888), (258, 904), (222, 906), (218, 892),
     (236, 874)),
    ((340, 840), (372, 832), (378, 840), (384, 862), (394, 884), (396, 900), (385, 906), (362, 906), (352, 884),
     (342, 862)),
)  # fmt: skip
"""(x, y) about each white shoe: on the grey floor their colour does not tell them apart."""


def read_man(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture (HWC RGB; its alpha channel is opaque and says nothing) and his true mask (HW, 0 or 255)."""
    image = np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    # wall and floor are grey, he is coloured or dark; the stripes of his shirt are closed after
    mask = ((np.hypot(lab[..., 1], lab[..., 2]) > 11) | (lab[..., 0] < 40)).astype(np.uint8)
    mask[838:] = 0
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13)))
    for shoe in _SHOES:
        cv2.fillPoly(mask, [np.array(shoe, np.int32)], 1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    mask = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask)
    for hole in range(1, count):
        if stats[hole, cv2.CC_STAT_AREA] < 1500:
            mask[labels == hole] = 1
    return image, mask * np.uint8(255)


def background(kind: str, *, width: int, height: int) -> NDArray[np.uint8]:
    """HWC RGB: "plain" green, a colour "gradient", or a "texture" with structure at all sizes, as photos have it."""
    y, x = np.mgrid[:height, :width]
    if kind == "plain":
        return np.full((height, width, 3), (96, 150, 90), np.uint8)
    if kind == "gradient":
        channels = 40 + 180 * x / width, 60 + 120 * y / height, 200 - 150 * (x + y) / (width + height)
        return np.stack(channels, axis=-1).astype(np.uint8)
    draw = np.random.default_rng(7)
    texture = np.zeros((height, width, 3))
    for size in (2, 4, 8, 16, 32, 64, 128):
        noise = draw.normal(size=(height // size + 2, width // size + 2, 3))
        noise = 0.6 * noise + 0.4 * noise.mean(axis=2, keepdims=True)
        texture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * size**0.7
    texture = (texture - texture.mean()) / texture.std() * 45 + (120, 110, 95)
    return np.clip(texture, 0, 255).astype(np.uint8)


def before(image: NDArray[np.uint8], mask: NDArray[np.uint8], behind: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The masked part of `image` before another background, its edge one pixel soft."""
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
    cover = cv2.GaussianBlur(inner, (0, 0), 1)[..., None] / 255.0
    return np.rint(image * cover + behind * (1 - cover)).astype(np.uint8)
