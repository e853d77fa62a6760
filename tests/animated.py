"""Synthetic frames as they leave the pipeline, for the tests of what comes after it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import IDENTITY, AnimatedFrame, Body, CalibratedFrame, Calibration, Frame, Portrait


def animated_frame(
    index: int,
    pts_seconds: Fraction,
    *,
    image: NDArray[np.uint8] | None = None,
    width: int = 64,
    height: int = 48,
    calibration: Calibration | None = None,
    driving: NDArray[np.uint8] | None = None,
) -> AnimatedFrame:
    """One frame; without an image, a white bar on a red and green ground that moves with the index."""
    if image is None:
        image = np.empty((height, width, 3), np.uint8)
        image[:, : width // 2], image[:, width // 2 :] = (200, 30, 60), (20, 160, 90)
        left = index * 2 % max(1, width - 8)
        image[height // 4 : height // 2, left : left + 8] = 255
    frame = Frame(index, pts_seconds, image if driving is None else driving, 0.0)
    calibration = calibration or Calibration(IDENTITY, subset=0, iou=0.5)
    return AnimatedFrame(index, pts_seconds, image, 0.0, CalibratedFrame(frame, None, calibration))


def animated_frames(count: int, *, rate: int = 30, width: int = 64, height: int = 48) -> Iterator[AnimatedFrame]:
    """`count` frames at a constant rate, from 0 s."""
    return (animated_frame(i, Fraction(i, rate), width=width, height=height) for i in range(count))


def noisy_frames(count: int) -> Iterator[AnimatedFrame]:
    """Frames that cannot be compressed: about 10 kB each."""
    random = np.random.default_rng(0)
    return (
        animated_frame(i, Fraction(i, 30), image=random.integers(0, 256, (96, 96, 3), np.uint8)) for i in range(count)
    )


def portrait(image: NDArray[np.uint8]) -> Portrait:
    """A reference with this image, and a body that stands nowhere."""
    mask = np.zeros(image.shape[:2], np.uint8)
    return Portrait(image, mask, Body(np.zeros((17, 2), np.float32), np.zeros(17, np.float32), mask))
