"""A person who needs no video and no model, for runs in which only time, order and memory count.

Four visible keypoints, so that the search, which is exponential in them, costs next to nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import count

import numpy as np

from tpc_stream.frame import Body, Frame, Portrait, PosedFrame

STEPS = 16
"""Places that the person goes through, and again."""
_TORSO = {5: (0.40, 0.30), 6: (0.60, 0.30), 11: (0.44, 0.60), 12: (0.56, 0.60)}
"""Keypoint: (x, y) in units of the picture, at the first place."""


@lru_cache(maxsize=2 * STEPS)
def person(width: int, height: int, place: int = 0) -> Body:
    """The person at one of `STEPS` places, from left to right."""
    shift = 0.2 * (place / STEPS - 0.5)
    keypoints, visibility = np.zeros((17, 2), np.float32), np.zeros(17, np.float32)
    for k, (x, y) in _TORSO.items():
        keypoints[k] = ((x + shift) * width, y * height)
        visibility[k] = 1.0
    silhouette = np.zeros((height, width), np.uint8)
    silhouette[int(0.2 * height) : int(0.9 * height), int((0.38 + shift) * width) : int((0.62 + shift) * width)] = 255
    return Body(keypoints, visibility, silhouette)


def portrait(canvas: tuple[int, int]) -> Portrait:
    """The reference, for `Animator.portrait`: finding somebody in a picture takes seconds."""
    own = person(*canvas)
    image = np.full((canvas[1], canvas[0], 3), (30, 60, 90), np.uint8)
    image[own.silhouette > 0] = (220, 40, 40)
    return Portrait(image=image, mask=own.silhouette, body=own)


def poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    """A pose stage that knows where the person is."""
    for frame in frames:
        height, width = frame.image.shape[:2]
        yield PosedFrame(frame, person(width, height, frame.index % STEPS))


def pictures(canvas: tuple[int, int], *, rate: Fraction, frames: int | None = None) -> Iterator[Frame]:
    """Grey pictures with exact times, each in memory of its own, so that one that is kept is seen; None: no end."""
    for index in count() if frames is None else range(frames):
        image = np.full((canvas[1], canvas[0], 3), index % 256, np.uint8)
        yield Frame(index, index / rate, image, time.perf_counter())
