"""A time that machines can read, in a strip at the top of a picture: white and black blocks, one bit each.

    white black  20 bits, Gray-coded  parity  black

Gray code, since a picture taken between two times then shows one of the two. The first two blocks tell white from black
after any change of contrast; a wrong parity is no time rather than a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import AnimatedFrame

BITS = 20
"""Milliseconds up to 17 minutes."""
BLOCKS = BITS + 4
SHARE = 1 / 8
"""Of the picture's height."""


def strip_rows(height: int) -> int:
    """Rows that the strip takes of a picture of that height."""
    return max(4, round(height * SHARE))


def draw(image: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    """A copy of the picture, HWC RGB uint8, with the number, 0 to 2^20 - 1, in its strip."""
    if not 0 <= value < 1 << BITS:
        raise ValueError(f"a stamp holds 0 to {(1 << BITS) - 1}, got {value}")
    gray = value ^ (value >> 1)
    bits = [gray >> k & 1 for k in reversed(range(BITS))]
    blocks = np.array([1, 0, *bits, sum(bits) % 2, 0], np.uint8) * 255
    height, width = image.shape[:2]
    stamped = image.copy()
    stamped[: strip_rows(height)] = blocks[np.arange(width) * BLOCKS // width][None, :, None]
    return stamped


def read(image: NDArray[np.uint8]) -> int | None:
    """The number in the strip of a picture, HWC RGB uint8; None where there is none that can be believed."""
    height, width = image.shape[:2]
    rows = strip_rows(height)
    middle = image[rows // 4 : rows - rows // 4].mean(axis=(0, 2))
    edges = np.arange(BLOCKS + 1) * width / BLOCKS
    inner = (edges[1:] - edges[:-1]) / 4  # neighbours bleed into a block's sides
    levels = [
        middle[round(low + side) : max(round(high - side), round(low + side) + 1)].mean()
        for low, high, side in zip(edges[:-1], edges[1:], inner, strict=True)
    ]
    if levels[0] - levels[1] < 64:
        return None
    seen = [int(level > (levels[0] + levels[1]) / 2) for level in levels]
    bits = seen[2 : 2 + BITS]
    if seen[-2] != sum(bits) % 2 or seen[-1]:
        return None
    value = 0
    for bit in bits:
        value = value << 1 | (bit ^ (value & 1))
    return value


def carry(frames: Iterable[AnimatedFrame]) -> Iterator[AnimatedFrame]:
    """A stage that lays the driving frame's strip over the output's: what the camera saw passes the pipeline."""
    for frame in frames:
        driving = frame.source.frame.image
        height, width = frame.image.shape[:2]
        strip = driving[: strip_rows(driving.shape[0])]
        image = frame.image.copy()
        image[: strip_rows(height)] = cv2.resize(strip, (width, strip_rows(height)), interpolation=cv2.INTER_AREA)
        yield replace(frame, image=image)
