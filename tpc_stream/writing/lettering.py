"""Small, smooth text for pictures that explain other pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_OVERSAMPLE = 4  # drawn this much larger and averaged down: OpenCV's own strokes are ragged at small sizes
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_text(
    image: NDArray[np.uint8],
    text: str,
    *,
    box: tuple[int, int, int, int],
    colour: tuple[int, int, int],
    line_pixels: int = 16,
    centred: bool = True,
) -> None:
    """Write the lines of `text` into `image`, in place; a line that is too long for its box is made narrower.

    image: HWC RGB uint8. text: ASCII, lines parted by a newline. box: (left, top, width, height) in pixels; the lines
    stand in the middle of its height. line_pixels: from line to line. centred: in its width too, else from the left.
    """
    left, top, width, height = box
    big = np.zeros((height * _OVERSAMPLE, width * _OVERSAMPLE), np.uint8)
    lines = text.split("\n")
    first = (height - len(lines) * line_pixels) / 2
    for number, line in enumerate(lines):
        size = 0.42 * line_pixels / 16 * _OVERSAMPLE
        wide = cv2.getTextSize(line, _FONT, size, _OVERSAMPLE)[0][0]
        if wide > width * _OVERSAMPLE:
            size *= width * _OVERSAMPLE / wide
            wide = width * _OVERSAMPLE
        x = (width * _OVERSAMPLE - wide) // 2 if centred else 0
        y = round((first + (number + 0.72) * line_pixels) * _OVERSAMPLE)
        cv2.putText(big, line, (x, y), _FONT, size, 255, _OVERSAMPLE + 1, cv2.LINE_AA)
    cover = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
    part = image[top : top + height, left : left + width]
    part[:] = np.rint(part * (1 - cover) + np.asarray(colour, np.float32) * cover).astype(np.uint8)


def status_text(status: str, iou: float) -> str:
    """How a calibration went, for a caption: its IoU, or why there is none."""
    value = "no target" if np.isnan(iou) else f"IoU {iou:.2f}"
    return value if status == "fresh" else f"{value}, {status}"
