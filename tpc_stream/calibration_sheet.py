"""A contact sheet of a calibration: some frames of the run in columns, and the IoU of all of them below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tpc_stream.calibration_panels import BOTH, FAINT, GROUND, INK, PANELS, REFERENCE, TARGET, PanelPainter
from tpc_stream.errors import SinkError
from tpc_stream.even_sample import EvenSample
from tpc_stream.frame import CalibratedFrame, Portrait
from tpc_stream.iou_curve import AXIS_PIXELS, IouCurve
from tpc_stream.writing.lettering import draw_text, status_text
from tpc_stream.writing.pictures import write_png

TALL, WIDE = (8, 200), (6, 280)
"""How many frames it shows at most, and the longer side of their pictures; where they are wide there is less room."""
WIDE_ASPECT = 1.4
MARGIN_PIXELS, GAP_PIXELS, LABEL_PIXELS, CAPTION_PIXELS, CURVE_PIXELS = 20, 6, 136, 56, 160


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    number: int
    caption: str
    tiles: list[NDArray[np.uint8]]


class CalibrationSheet:
    """Shown every frame in turn, it keeps a few, evenly spread, in bounded memory."""

    def __init__(self, portrait: Portrait, *, expected_frames: int | None = None, visible_from: float = 0.5) -> None:
        """expected_frames: how many will come, if known. visible_from: of the points that are drawn."""
        height, width = portrait.mask.shape
        self._most, longest = WIDE if width / height > WIDE_ASPECT else TALL
        scale = longest / max(height, width)
        wide, high = max(2, round(width * scale)), max(2, round(height * scale))
        self._painter = PanelPainter(portrait, width=wide, height=high, visible_from=visible_from)
        self._columns: EvenSample[_Column] = EvenSample(wanted=self._most, expected=expected_frames)
        self._curve = IouCurve(expected_frames=expected_frames)
        self._seen = 0

    def add(self, frame: CalibratedFrame, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """The next frame; `image` and `mask` are its calibrated reference, on the canvas."""
        number = self._seen
        self._columns.add(lambda: _Column(number, _caption(frame), self._painter.panels(frame, image, mask)))
        self._curve.add(frame.calibration.iou, frame.calibration.status)
        self._seen += 1

    def render(self) -> NDArray[np.uint8]:
        """The sheet so far, HWC RGB uint8. Raises SinkError where no frame came."""
        columns = self._columns.chosen()
        if not columns:
            raise SinkError("no frame reached the contact sheet, so there is nothing to show: check the range")
        high, wide = self._painter.height, self._painter.width
        left = MARGIN_PIXELS + LABEL_PIXELS
        across = max(self._most * (wide + GAP_PIXELS) // 2, len(columns) * (wide + GAP_PIXELS) - GAP_PIXELS)
        below = MARGIN_PIXELS + len(PANELS) * (high + GAP_PIXELS)
        curve_top = below + CAPTION_PIXELS
        sheet = np.empty((curve_top + CURVE_PIXELS + MARGIN_PIXELS, left + across + MARGIN_PIXELS, 3), np.uint8)
        sheet[:] = GROUND
        for row, label in enumerate(PANELS):
            top = MARGIN_PIXELS + row * (high + GAP_PIXELS)
            box = (MARGIN_PIXELS, top, LABEL_PIXELS - 10, high)
            draw_text(sheet, label.replace(" ", "\n"), box=box, colour=INK, line_pixels=18, centred=False)
            if label == "silhouettes":
                legend = (("target", TARGET), ("reference", REFERENCE), ("both", BOTH))
                for line, (word, colour) in enumerate(legend):
                    box = (MARGIN_PIXELS, top + high // 2 + 18 + 18 * line, LABEL_PIXELS - 10, 18)
                    draw_text(sheet, word, box=box, colour=colour, line_pixels=15, centred=False)
        for number, column in enumerate(columns):
            x = left + number * (wide + GAP_PIXELS)
            for row, tile in enumerate(column.tiles):
                top = MARGIN_PIXELS + row * (high + GAP_PIXELS)
                sheet[top : top + high, x : x + wide] = tile
            draw_text(sheet, column.caption, box=(x, below, wide, CAPTION_PIXELS - 8), colour=FAINT, line_pixels=16)
        mean = f"IoU\n{_digits(self._curve.mean)} mean\nof {self._seen} frames"
        box = (MARGIN_PIXELS, curve_top, LABEL_PIXELS - AXIS_PIXELS, CURVE_PIXELS)
        draw_text(sheet, mean, box=box, colour=INK, line_pixels=18, centred=False)
        box = (left - AXIS_PIXELS, curve_top, across + AXIS_PIXELS, CURVE_PIXELS)
        self._curve.draw_axis(sheet, box=box)
        self._curve.draw(sheet, box=box, marks=tuple(column.number for column in columns))
        return sheet

    def save(self, path: str | Path) -> None:
        """Write the sheet as PNG. Raises SinkError where no frame came or the file cannot be written."""
        write_png(Path(path), self.render())


def _digits(value: float) -> str:
    """Three digits, or a dash where there is no value."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def _caption(frame: CalibratedFrame) -> str:
    calibration = frame.calibration
    turn = round(math.degrees(calibration.transform.angle_radians))
    return (
        f"{float(frame.frame.pts_seconds):.2f} s\n{status_text(calibration.status, calibration.iou)}\n"
        f"x {calibration.transform.scale:.2f}, {turn:+d} deg"
    )
