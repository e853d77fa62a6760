"""The IoU over time, as a curve that grows."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.writing.lettering import draw_text

INK, FAINT, GRID = (232, 234, 237), (139, 146, 158), (52, 57, 66)
CURVE, HELD, UNCALIBRATED = (116, 214, 140), (250, 214, 60), (255, 92, 92)
"""Frames with a transform of their own, with the last good one, and with none."""
AXIS_PIXELS = 34
"""Room for the numbers at the left."""
_AIR = 8
_SHIFT = 4  # OpenCV takes positions in sixteenths of a pixel
_STATUS = {"fresh": 0, "held": 1, "uncalibrated": 2}


class IouCurve:
    """What a curve needs of each frame: five bytes."""

    def __init__(self, *, expected_frames: int | None = None) -> None:
        """expected_frames: how wide the axis is; None, or where more come: it doubles as they come."""
        self._values = array("f")
        self._status = bytearray()
        self._expected = expected_frames or 0
        self._sum, self._fresh = 0.0, 0

    def add(self, iou: float, status: str) -> None:
        """The next frame; iou in [0, 1], nan where it is not known."""
        self._values.append(iou)
        self._status.append(_STATUS[status])
        if status == "fresh":
            self._sum += iou
            self._fresh += 1

    @property
    def mean(self) -> float:
        """Of the frames with a transform of their own; nan before the first."""
        return self._sum / self._fresh if self._fresh else float("nan")

    @property
    def span(self) -> int:
        """Frames that the axis has room for."""
        count, span = len(self._values), max(2, self._expected or 64)
        while span < count:
            span *= 2
        return span

    @staticmethod
    def draw_axis(canvas: NDArray[np.uint8], *, box: tuple[int, int, int, int]) -> None:
        """Draws what stays the same into `canvas` (HWC RGB uint8), in `box` (left, top, width, height) pixels."""
        left, top, width, height = box
        for level in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = round(top + _AIR + _depth(height) * (1.0 - level))
            canvas[y, left + AXIS_PIXELS : left + width - _AIR] = GRID
            if level in (0.0, 0.5, 1.0):
                label = (left, y - 8, AXIS_PIXELS - 8, 16)
                draw_text(canvas, f"{level:.1f}", box=label, colour=FAINT, line_pixels=14)

    def draw(self, canvas: NDArray[np.uint8], *, box: tuple[int, int, int, int], marks: tuple[int, ...] = ()) -> None:
        """Draws the curve so far into `canvas`, over the axis in `box`.

        marks: numbers of frames, from 0, to stand out as dots; none: the last frame.
        """
        left, top, width, height = box
        if not self._values:
            return
        values = np.frombuffer(self._values, np.float32).astype(np.float64)
        status = np.frombuffer(bytes(self._status), np.uint8)
        xs = left + AXIS_PIXELS + (width - AXIS_PIXELS - _AIR) * np.arange(len(values)) / (self.span - 1)
        ys = top + _AIR + _depth(height) * (1.0 - np.nan_to_num(values))
        points = np.rint(np.column_stack([xs, ys]) * 2**_SHIFT).astype(np.int32)
        if self._fresh:
            y = round(top + _AIR + _depth(height) * (1.0 - self.mean))
            canvas[y, left + AXIS_PIXELS : left + width - _AIR : 4] = CURVE
        for first, last in _runs(status == 0):
            part = points[first:last].reshape(-1, 1, 2)
            cv2.polylines(canvas, [part], False, CURVE, 2, cv2.LINE_AA, _SHIFT)
            if last - first == 1:
                cv2.circle(canvas, points[first].tolist(), 1 << _SHIFT, CURVE, -1, cv2.LINE_AA, _SHIFT)
        for code, colour in ((1, HELD), (2, UNCALIBRATED)):
            for number in np.flatnonzero(status == code).tolist():
                cv2.circle(canvas, points[number].tolist(), 2 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)
        for number in marks or (len(values) - 1,):
            colour = (CURVE, HELD, UNCALIBRATED)[status[number]]
            cv2.circle(canvas, points[number].tolist(), 5 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, points[number].tolist(), 5 << _SHIFT, INK, 1, cv2.LINE_AA, _SHIFT)


def _depth(height: int) -> int:
    return height - 2 * _AIR


def _runs(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where `chosen` holds without a break: (first, one past the last) of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]
