"""Reference, driving frame, calibrated reference and output in one picture, to judge a run by eye."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import AnimatedFrame, Portrait
from tpc_stream.writing.lettering import draw_text, status_text

LABEL_PIXELS = 24
"""Height of the strip of labels above the pictures."""
GAP_PIXELS = 4
"""Between two pictures."""
LOWEST_PIXELS = 256
"""Smaller outputs are enlarged to this height: the labels could not be read otherwise."""

_GROUND, _INK = 24, (235, 235, 235)


def side_by_side(
    frames: Iterable[AnimatedFrame],
    *,
    portrait: Portrait,
    calibrated: Callable[[AnimatedFrame], NDArray[np.uint8]],
) -> Iterator[AnimatedFrame]:
    """A stage that replaces every frame's image by four, of equal heights: reference, driving, calibrated, output.

    portrait: the reference, whose image comes first. calibrated: gives the reference laid onto a frame's person,
    HWC RGB uint8. The new image is HWC RGB uint8 with even sides, as video codecs want.
    """
    for frame in frames:
        height = max(LOWEST_PIXELS, frame.image.shape[0])
        height += height % 2
        calibration = frame.source.calibration
        panels = [
            ("reference", portrait.image),
            ("driving", frame.source.frame.image),
            (f"calibrated ({status_text(calibration.status, calibration.iou)})", calibrated(frame)),
            ("output", frame.image),
        ]
        yield replace(frame, image=_join(panels, height))


def _join(panels: list[tuple[str, NDArray[np.uint8]]], height: int) -> NDArray[np.uint8]:
    scaled = [(label, _to_height(image, height)) for label, image in panels]
    width = sum(image.shape[1] for _, image in scaled) + GAP_PIXELS * (len(scaled) - 1)
    canvas = np.full((LABEL_PIXELS + height, width, 3), _GROUND, np.uint8)
    left = 0
    for label, image in scaled:
        wide = image.shape[1]
        canvas[LABEL_PIXELS:, left : left + wide] = image
        draw_text(canvas, label, box=(left, 0, wide, LABEL_PIXELS), colour=_INK)
        left += wide + GAP_PIXELS
    return canvas


def _to_height(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = max(2, 2 * round(image.shape[1] * height / image.shape[0] / 2))
    if image.shape[:2] == (height, width):
        return image
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=how).astype(np.uint8, copy=False)
