"""One picture a frame that explains its calibration: four panels, the figures, and the curve of the IoU."""

from __future__ import annotations

import math
import textwrap

import numpy as np
from numpy.typing import NDArray

from tpc_stream.calibration_panels import FAINT, GROUND, INK, PANELS, REFERENCE, TARGET, PanelPainter
from tpc_stream.frame import CalibratedFrame, Portrait
from tpc_stream.iou_curve import CURVE, HELD, UNCALIBRATED, IouCurve
from tpc_stream.writing.lettering import draw_text

MARGIN_PIXELS, GAP_PIXELS, LABEL_PIXELS = 16, 8, 26
CURVE_PIXELS, FIGURES_PIXELS = 150, 300
"""Height of the curve, and width of the figures at its left."""
ROW_PIXELS, LONGEST_PIXELS = 400, 480
"""A panel's width in a row of four, at most, and its height."""
WIDE_PIXELS = 560
"""A panel's width where the pictures are wide and stand two by two."""
WIDE_ASPECT = 1.4

_GLUE = "~"
"""A space at which no line is broken."""
_STATUS = {"fresh": CURVE, "held": HELD, "uncalibrated": UNCALIBRATED}


class CalibrationPicture:
    """Draws the pictures of one run: what stays the same is drawn once."""

    def __init__(self, portrait: Portrait, *, expected_frames: int | None = None, visible_from: float = 0.5) -> None:
        """expected_frames: how long the curve's axis is, if known. visible_from: of the points that are drawn."""
        height, width = portrait.mask.shape
        self._columns = 2 if width / height > WIDE_ASPECT else 4
        limit = WIDE_PIXELS if self._columns == 2 else ROW_PIXELS
        scale = min(limit / width, LONGEST_PIXELS / height)
        wide, high = max(2, round(width * scale)), max(2, round(height * scale))
        self._painter = PanelPainter(portrait, width=wide, height=high, visible_from=visible_from)
        self.curve = IouCurve(expected_frames=expected_frames)
        rows = len(PANELS) // self._columns
        across = max(2 * MARGIN_PIXELS + self._columns * (wide + GAP_PIXELS) - GAP_PIXELS, 2 * FIGURES_PIXELS + 200)
        self._left = (across - self._columns * (wide + GAP_PIXELS) + GAP_PIXELS) // 2
        self._below = MARGIN_PIXELS + rows * (LABEL_PIXELS + high + GAP_PIXELS)
        down = self._below + CURVE_PIXELS + MARGIN_PIXELS
        self._base = np.empty((down + down % 2, across + across % 2, 3), np.uint8)  # codecs want even sides
        self._base[:] = GROUND
        for number, label in enumerate(PANELS):
            left, top = self._corner(number)
            box = (left, top - LABEL_PIXELS, wide, LABEL_PIXELS)
            draw_text(self._base, label, box=box, colour=INK, line_pixels=18, centred=False)
        left, top = self._corner(PANELS.index("silhouettes"))
        for offset, (word, colour) in ((0.5, ("target", TARGET)), (0.72, ("reference", REFERENCE))):
            box = (left + round(offset * wide), top - LABEL_PIXELS, round(0.26 * wide), LABEL_PIXELS)
            draw_text(self._base, word, box=box, colour=colour, line_pixels=16)
        across = self._base.shape[1] - 2 * MARGIN_PIXELS - FIGURES_PIXELS
        self._curve_box = (MARGIN_PIXELS + FIGURES_PIXELS, self._below, across, CURVE_PIXELS)
        self.curve.draw_axis(self._base, box=self._curve_box)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, both even."""
        return self._base.shape[1], self._base.shape[0]

    def draw(self, frame: CalibratedFrame, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The next frame's picture, HWC RGB uint8; `image` and `mask` are its calibrated reference, on the canvas."""
        calibration = frame.calibration
        self.curve.add(calibration.iou, calibration.status)
        canvas = self._base.copy()
        for number, panel in enumerate(self._painter.panels(frame, image, mask)):
            left, top = self._corner(number)
            canvas[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
        self._figures(canvas, frame)
        self.curve.draw(canvas, box=self._curve_box)
        return canvas

    def _corner(self, number: int) -> tuple[int, int]:
        """(left, top) of a panel."""
        row, column = divmod(number, self._columns)
        left = self._left + column * (self._painter.width + GAP_PIXELS)
        return left, MARGIN_PIXELS + LABEL_PIXELS + row * (LABEL_PIXELS + self._painter.height + GAP_PIXELS)

    def _figures(self, canvas: NDArray[np.uint8], frame: CalibratedFrame) -> None:
        calibration, top = frame.calibration, self._below
        colour = _STATUS[calibration.status]
        value = "-" if math.isnan(calibration.iou) else f"{calibration.iou:.3f}"
        mean = "-" if math.isnan(self.curve.mean) else f"{self.curve.mean:.3f}"
        box = (MARGIN_PIXELS, top + 6, 170, 40)
        draw_text(canvas, f"IoU {value}", box=box, colour=colour, line_pixels=38, centred=False)
        box = (MARGIN_PIXELS + 180, top + 14, FIGURES_PIXELS - 196, 28)
        draw_text(canvas, f"mean {mean}", box=box, colour=FAINT, line_pixels=18, centred=False)
        x, y = calibration.transform.translation_pixels
        turn = round(math.degrees(calibration.transform.angle_radians), 1) + 0.0  # no -0.0
        if calibration.status == "fresh":
            said = f"points {calibration.subset.bit_count()} of 17"
        else:
            said = calibration.status
        why = _names(frame) if calibration.status == "fresh" else calibration.reason
        lines = [
            (f"frame {frame.frame.index}    {float(frame.frame.pts_seconds):.2f} s    {said}", INK),
            (f"scale {calibration.transform.scale:.3f}    turn {turn:+.1f} deg    shift {x:+.0f}, {y:+.0f}", FAINT),
            *((part.replace(_GLUE, " "), FAINT) for part in textwrap.wrap(_ascii(why), 38)[:2]),
        ]
        for number, (text, ink) in enumerate(lines):
            box = (MARGIN_PIXELS, top + 54 + number * 24, FIGURES_PIXELS - 16, 24)
            draw_text(canvas, text, box=box, colour=ink, line_pixels=17, centred=False)


def _names(frame: CalibratedFrame) -> str:
    """The chosen points, in few words: both of a pair by its name in the plural."""
    names = list(frame.calibration.subset_names)
    words = []
    for name in names:
        side, _, part = name.partition("_")
        other = {"left": f"right_{part}", "right": f"left_{part}"}.get(side)
        if other in names:
            plural = "hips" if part == "hip" else f"{part}s"
            if plural not in words:
                words.append(plural)
        else:
            words.append(name.replace("left_", f"l.{_GLUE}").replace("right_", f"r.{_GLUE}"))
    return ", ".join(words)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
