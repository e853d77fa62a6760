"""The contact sheet: which frames it shows, how much it keeps, and how it is laid out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.animated import animated_frame, animated_frames, portrait
from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import Calibration, Similarity
from tpc_stream.sheet import GAP_PIXELS, LABEL_PIXELS, MARGIN_PIXELS, ContactSheet, collect

TILE = 32


def sheet_of(count: int, *, columns: int = 8, calls: list[int] | None = None) -> tuple[ContactSheet, np.ndarray]:
    """A sheet of plain frames whose grey value tells their index, and the grey values of its output row."""

    def calibrated(frame):
        if calls is not None:
            calls.append(frame.index)
        return frame.image

    sheet = ContactSheet(
        portrait=portrait(np.zeros((64, 64, 3), np.uint8)), calibrated=calibrated, columns=columns, tile_pixels=TILE
    )
    grey = [np.full((64, 64, 3), i * 250 // max(1, count - 1), np.uint8) for i in range(count)]
    frames = [animated_frame(i, Fraction(i, 30), image=image) for i, image in enumerate(grey)]
    assert list(collect(frames, sheet)) == frames
    image = sheet.render()
    top = MARGIN_PIXELS + 3 * (TILE + GAP_PIXELS) + TILE // 2
    row = image[top, MARGIN_PIXELS + LABEL_PIXELS + TILE // 2 : -MARGIN_PIXELS : TILE + GAP_PIXELS, 0]
    return sheet, row


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_few_frames_are_all_shown(count: int) -> None:
    _, row = sheet_of(count)
    assert row.tolist() == [i * 250 // max(1, count - 1) for i in range(count)]


@pytest.mark.parametrize("count", [9, 63, 64, 65, 100, 500, 1000])
def test_many_frames_are_shown_at_equal_distances(count: int) -> None:
    _, row = sheet_of(count)
    steps = np.diff(row.astype(int))
    assert len(row) == 8 and row[0] == 0 and row[-1] >= 240
    assert abs(steps - 250 / 7).max() <= 250 / (count - 1) + 250 / 7 / 4


def test_memory_and_work_stay_bounded() -> None:
    calls: list[int] = []
    sheet, _ = sheet_of(3000, columns=4, calls=calls)
    assert len(sheet._kept) < 8 * 4
    assert len(calls) < 8 * 4 * 8  # it doubles its distance, so the work grows with the logarithm


def test_rows_and_size(tmp_path: Path) -> None:
    reference, calibrated = np.full((96, 64, 3), (200, 0, 0), np.uint8), np.full((96, 64, 3), (0, 0, 200), np.uint8)
    sheet = ContactSheet(portrait=portrait(reference), calibrated=lambda f: calibrated, tile_pixels=96)
    driving = np.full((96, 64, 3), (0, 200, 0), np.uint8)
    for i in range(3):
        sheet.add(animated_frame(i, Fraction(i), image=np.full((192, 128, 3), 90, np.uint8), driving=driving))
    sheet.save(tmp_path / "sheet.png")
    read = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    assert read.shape[1] == 2 * MARGIN_PIXELS + LABEL_PIXELS + 3 * 64 + 2 * GAP_PIXELS
    assert (read[[0, -1]] == 255).all() and (read[:, [0, -1]] == 255).all()
    for row, colour in enumerate([(200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)]):
        top = MARGIN_PIXELS + row * (96 + GAP_PIXELS)
        for column in range(3):
            left = MARGIN_PIXELS + LABEL_PIXELS + column * (64 + GAP_PIXELS)
            assert (read[top : top + 96, left : left + 64] == colour).all()
        assert read[top : top + 96, MARGIN_PIXELS : MARGIN_PIXELS + LABEL_PIXELS].min() < 80  # its label


def test_a_picture_of_another_shape_stands_whole_on_white() -> None:
    sheet = ContactSheet(
        portrait=portrait(np.zeros((64, 64, 3), np.uint8)), calibrated=lambda f: f.image, tile_pixels=64
    )
    sheet.add(animated_frame(0, Fraction(0), image=np.full((32, 64, 3), 9, np.uint8)))
    tile = sheet.render()[MARGIN_PIXELS + 64 + GAP_PIXELS :][:64, MARGIN_PIXELS + LABEL_PIXELS :][:, :64]
    assert (tile[16:48] == 9).all() and (tile[:16] == 255).all() and (tile[48:] == 255).all()


def test_captions_tell_time_iou_scale_and_angle() -> None:
    def caption(seconds: Fraction, calibration: Calibration) -> bytes:
        sheet = ContactSheet(portrait=portrait(np.zeros((64, 64, 3), np.uint8)), calibrated=lambda f: f.image)
        sheet.add(animated_frame(0, seconds, calibration=calibration))
        return sheet.render()[MARGIN_PIXELS + 4 * (192 + GAP_PIXELS) :].tobytes()

    still = Similarity(1.0, 0.0, (0.0, 0.0))
    captions = [
        caption(Fraction(1), Calibration(still, 0, 0.5)),
        caption(Fraction(2), Calibration(still, 0, 0.5)),
        caption(Fraction(1), Calibration(still, 0, 0.6)),
        caption(Fraction(1), Calibration(still, 0, float("nan"), "held")),
        caption(Fraction(1), Calibration(Similarity(1.2, 0.0, (0.0, 0.0)), 0, 0.5)),
        caption(Fraction(1), Calibration(Similarity(1.0, 0.2, (0.0, 0.0)), 0, 0.5)),
    ]
    assert len(set(captions)) == len(captions)


def test_what_cannot_be_shown_is_told(tmp_path: Path) -> None:
    empty = ContactSheet(portrait=portrait(np.zeros((64, 64, 3), np.uint8)), calibrated=lambda f: f.image)
    with pytest.raises(SinkError, match="no frame reached the contact sheet"):
        empty.save(tmp_path / "sheet.png")
    with pytest.raises(InputError, match="columns = 0"):
        ContactSheet(portrait=portrait(np.zeros((64, 64, 3), np.uint8)), calibrated=lambda f: f.image, columns=0)
    list(collect(animated_frames(2), empty))
    with pytest.raises(SinkError, match=r"cannot write .*none"):
        empty.save(tmp_path / "none/deeper/sheet.png")
