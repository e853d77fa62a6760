"""A contact sheet: some frames of a run, each with what it was made from, in one PNG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import AnimatedFrame, Portrait
from tpc_stream.writing.lettering import draw_text, status_text
from tpc_stream.writing.pictures import write_png

LABEL_PIXELS, GAP_PIXELS, MARGIN_PIXELS, CAPTION_LINE_PIXELS = 96, 6, 16, 17
"""Width of the labels at the left, distance of the tiles, white border, height of a line of a caption."""
_INK, _FAINT = (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    caption: str
    tiles: tuple[NDArray[np.uint8], ...]


class ContactSheet:
    """Collects frames at equal distances, however many come, in bounded memory.

    It keeps every k-th frame, shrunk; when 8 times the wanted columns are kept, every other one is dropped and k
    doubles. So there are always at least 4 to choose each column from, and the distances are nearly equal.
    """

    def __init__(
        self,
        *,
        portrait: Portrait,
        calibrated: Callable[[AnimatedFrame], NDArray[np.uint8]],
        columns: int = 8,
        tile_pixels: int = 192,
        expected_frames: int | None = None,
    ) -> None:
        """portrait: the reference. calibrated: gives the reference laid onto a frame's person, HWC RGB uint8; it is
        called for the kept frames alone. columns: how many frames the sheet shows at most. tile_pixels: longer side.
        expected_frames: how many will come, if known: frames that no column could need are then never shrunk.
        """
        if columns < 1 or tile_pixels < 16:
            raise InputError(f"a contact sheet needs columns and tiles, got {columns = } {tile_pixels = }")
        height, width = portrait.image.shape[:2]
        scale = tile_pixels / max(height, width)
        self._tile = (max(1, round(height * scale)), max(1, round(width * scale)))
        self._columns, self._calibrated = columns, calibrated
        self._reference = _fit(portrait.image, self._tile)
        self._kept: list[_Column] = []
        self._every, self._seen = max(1, (expected_frames or 0) // (4 * columns)), 0

    def add(self, frame: AnimatedFrame) -> None:
        """Take note of the next frame; it is shrunk and kept, or passed over."""
        if self._seen % self._every == 0:
            images = (frame.source.frame.image, self._calibrated(frame), frame.image)
            tiles = (self._reference, *(_fit(image, self._tile) for image in images))
            self._kept.append(_Column(_caption(frame), tiles))
            if len(self._kept) == 8 * self._columns:
                del self._kept[1::2]
                self._every *= 2
        self._seen += 1

    def render(self) -> NDArray[np.uint8]:
        """The sheet so far, HWC RGB uint8 on white. Raises SinkError where no frame came."""
        if not self._kept:
            raise SinkError("no frame reached the contact sheet, so there is nothing to show: check the range")
        count = min(self._columns, len(self._kept))
        chosen = [self._kept[round(k)] for k in np.linspace(0, len(self._kept) - 1, count)]
        high, wide = self._tile
        lines = max(column.caption.count("\n") + 1 for column in chosen)
        below = lines * CAPTION_LINE_PIXELS + GAP_PIXELS
        labels = ("reference", "driving", "calibrated", "output")
        height = 2 * MARGIN_PIXELS + len(labels) * (high + GAP_PIXELS) + below
        width = 2 * MARGIN_PIXELS + LABEL_PIXELS + count * (wide + GAP_PIXELS) - GAP_PIXELS
        sheet = np.full((height, width, 3), 255, np.uint8)
        for row, label in enumerate(labels):
            top = MARGIN_PIXELS + row * (high + GAP_PIXELS)
            box = (MARGIN_PIXELS, top, LABEL_PIXELS - 8, high)
            draw_text(sheet, label, box=box, colour=_INK, line_pixels=20, centred=False)
            for number, column in enumerate(chosen):
                left = MARGIN_PIXELS + LABEL_PIXELS + number * (wide + GAP_PIXELS)
                sheet[top : top + high, left : left + wide] = column.tiles[row]
        top = MARGIN_PIXELS + len(labels) * (high + GAP_PIXELS)
        for number, column in enumerate(chosen):
            left = MARGIN_PIXELS + LABEL_PIXELS + number * (wide + GAP_PIXELS)
            box = (left, top, wide, below - GAP_PIXELS)
            draw_text(sheet, column.caption, box=box, colour=_FAINT, line_pixels=CAPTION_LINE_PIXELS)
        return sheet

    def save(self, path: str | Path) -> None:
        """Write the sheet as PNG. Raises SinkError where no frame came or the file cannot be written."""
        write_png(Path(path), self.render())


def collect(frames: Iterable[AnimatedFrame], sheet: ContactSheet) -> Iterator[AnimatedFrame]:
    """A stage that shows every frame to `sheet` and passes it on."""
    for frame in frames:
        sheet.add(frame)
        yield frame


def _caption(frame: AnimatedFrame) -> str:
    calibration = frame.source.calibration
    turn = math.degrees(calibration.transform.angle_radians)
    return (
        f"{float(frame.pts_seconds):.2f} s\n{status_text(calibration.status, calibration.iou)}\n"
        f"x {calibration.transform.scale:.2f}, {turn:+.0f} deg"
    )


def _fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The whole image, as large as it goes, in the middle of a white tile of `size` (height, width)."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    high, wide = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile = np.full((*size, 3), 255, np.uint8)
    top, left = (size[0] - high) // 2, (size[1] - wide) // 2
    tile[top : top + high, left : left + wide] = cv2.resize(image, (wide, high), interpolation=how)
    return tile
