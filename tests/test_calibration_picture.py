"""The picture that explains a frame's calibration, its curve, and the contact sheet."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.synthetic import body, calibrated, portrait
from tpc_stream.calibration_panels import BOTH, GROUND, REFERENCE, TARGET, PanelPainter
from tpc_stream.calibration_picture import CalibrationPicture
from tpc_stream.calibration_sheet import CalibrationSheet
from tpc_stream.errors import InputError, SinkError
from tpc_stream.even_sample import EvenSample
from tpc_stream.frame import CalibratedFrame, Calibration, Similarity
from tpc_stream.iou_curve import AXIS_PIXELS, CURVE, HELD, UNCALIBRATED, IouCurve
from tpc_stream.procrustes import warp

SIZE = 64


def frames(count: int, **options) -> list[tuple[CalibratedFrame, np.ndarray, np.ndarray]]:
    own = portrait(SIZE, SIZE)
    return [
        (item, *warp(own.image, own.mask, item.calibration.transform, width=SIZE, height=SIZE))
        for item in calibrated(count, **options)
    ]


def close(picture: np.ndarray, colour: tuple[int, int, int], *, within: int = 12) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= within).all(axis=2)


def test_the_silhouettes_have_their_colours_where_each_is_alone_and_where_both_are() -> None:
    painter = PanelPainter(portrait(), width=SIZE, height=SIZE)
    (item, image, mask) = frames(1)[0]
    shifted = Calibration(Similarity(1.0, 0.0, (9.0, 0.0)), subset=0, iou=0.5)
    item = CalibratedFrame(item.frame, item.body, shifted)
    mask = np.roll(mask, 9, axis=1)
    panel = painter.panels(item, image, mask)[2]
    assert item.body is not None
    ours, theirs = mask >= 128, item.body.silhouette >= 128
    for colour, where in ((REFERENCE, ours & ~theirs), (TARGET, ~ours & theirs), (BOTH, ours & theirs)):
        assert where.any() and close(panel, colour)[where].all()
    assert close(panel, GROUND)[~ours & ~theirs].all()


def test_the_chosen_points_stand_out_in_all_three_panels() -> None:
    painter = PanelPainter(portrait(), width=4 * SIZE, height=4 * SIZE)
    item, image, mask = frames(1)[0]
    chosen, other = 9, 10  # the wrists, alone at their places
    item = CalibratedFrame(item.frame, item.body, Calibration(item.calibration.transform, 1 << chosen, 0.5))
    panels = painter.panels(item, image, mask)
    points = body().keypoints * 4
    for panel, colour in ((panels[0], REFERENCE), (panels[1], TARGET), (panels[2], REFERENCE)):
        assert close(panel, colour, within=40)[tuple(points[chosen].astype(int)[::-1])]
        assert not close(panel, colour, within=40)[tuple(points[other].astype(int)[::-1])]


@pytest.mark.parametrize(("width", "height"), [(64, 64), (36, 64), (128, 72), (2000, 30), (30, 2000)])
def test_every_shape_of_picture_has_even_sides_and_four_panels(width: int, height: int) -> None:
    own = portrait(width, height)
    picture = CalibrationPicture(own, expected_frames=3)
    (item,) = calibrated(1)
    person = body(width, height)
    image = np.full((height, width, 3), (90, 10, 200), np.uint8)
    item = CalibratedFrame(item.frame, person, item.calibration)
    drawn = picture.draw(item, image, own.mask)
    assert drawn.shape[:2] == picture.size[::-1] and drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0
    assert max(drawn.shape) < 2000 and drawn.dtype == np.uint8
    assert close(drawn, (90, 10, 200), within=4).any(), "the calibrated reference is there"


@pytest.mark.parametrize(
    ("calibration", "colour"),
    [
        (Calibration(Similarity(1.0, 0.1, (0.0, 0.0)), 0b11, 0.5), CURVE),
        (Calibration(Similarity(1.0, 0.1, (0.0, 0.0)), 0, 0.4, "held", "no person found"), HELD),
        (Calibration(Similarity(1.0, 0.1, (0.0, 0.0)), 0, math.nan, "uncalibrated", "no person found é"), UNCALIBRATED),
    ],
)
def test_the_figures_say_in_colour_how_it_went(calibration: Calibration, colour: tuple[int, int, int]) -> None:
    picture = CalibrationPicture(portrait(), expected_frames=3)
    (item,) = calibrated(1, lost=(0,))
    drawn = picture.draw(CalibratedFrame(item.frame, None, calibration), *frames(1)[0][1:])
    figures = drawn[-170:, :300]
    others = [other for other in (CURVE, HELD, UNCALIBRATED) if other != colour]
    assert close(figures, colour).sum() > 50 and not any(close(figures, other).any() for other in others)


def curve_of(values: list[tuple[float, str]], *, expected: int | None) -> tuple[IouCurve, np.ndarray]:
    curve = IouCurve(expected_frames=expected)
    canvas = np.zeros((120, 400, 3), np.uint8)
    for value, status in values:
        curve.add(value, status)
    curve.draw(canvas, box=(0, 0, 400, 120))
    return curve, canvas


def test_the_curve_is_high_where_the_iou_is_and_grows_to_the_right() -> None:
    half = [(0.9 if i < 25 else 0.1, "fresh") for i in range(50)]
    curve, canvas = curve_of(half, expected=100)
    assert curve.mean == pytest.approx(0.5) and canvas[60].any(axis=1).sum() > 80, "the mean is a dotted line"
    canvas[60] = 0
    rows, columns = np.nonzero(close(canvas, CURVE, within=60))
    assert AXIS_PIXELS - 2 <= columns.min() and columns.max() < AXIS_PIXELS + 366 / 2
    assert rows[columns < 100].max() < 30 and rows[columns > 140].min() > 90
    _, whole = curve_of(half * 2, expected=100)
    assert np.nonzero(close(whole, CURVE, within=60))[1].max() > 380


def test_held_frames_are_dots_and_do_not_count_for_the_mean() -> None:
    curve, canvas = curve_of([(0.6, "fresh"), (0.2, "held"), (math.nan, "uncalibrated"), (0.8, "fresh")], expected=4)
    assert curve.mean == pytest.approx(0.7)
    for colour in (HELD, UNCALIBRATED, CURVE):
        assert close(canvas, colour).any()
    assert math.isnan(IouCurve().mean)


def test_more_frames_than_expected_find_room() -> None:
    curve, canvas = curve_of([(0.5, "fresh")] * 300, expected=10)
    assert curve.span == 320 and np.nonzero(close(canvas, CURVE, within=60))[1].max() > 350
    assert curve_of([(0.5, "fresh")] * 70, expected=None)[0].span == 128


def test_the_sheet_shows_frames_from_the_first_to_the_last(tmp_path: Path) -> None:
    sheet = CalibrationSheet(portrait(), expected_frames=40)
    with pytest.raises(SinkError, match="no frame"):
        sheet.render()
    for item, image, mask in frames(40, lost=(3, 4)):
        sheet.add(item, image, mask)
    sheet.save(tmp_path / "sheet.png")
    saved = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_COLOR)
    assert saved is not None and saved.shape[0] > 4 * 200 and saved.shape[1] > 8 * 200
    assert np.array_equal(saved[..., ::-1], sheet.render())


def test_an_even_sample_is_spread_evenly_in_bounded_memory() -> None:
    for count in (1, 3, 5, 6, 100, 3001):
        made: list[int] = []
        sample: EvenSample[int] = EvenSample(wanted=5, expected=count if count == 100 else None)

        def make(number: int, made: list[int]) -> int:
            made.append(number)
            return number

        for number in range(count):
            sample.add(partial(make, number, made))
        chosen = sample.chosen()
        assert len(chosen) == min(5, count) and chosen[0] == 0 and len(sample._kept) < 40
        assert chosen[-1] >= count - 1 - count // 15
        assert len(made) < 8 * 5 * 12
        if count > 5:
            assert np.ptp(np.diff(chosen)) <= max(1, count // 15)
    assert EvenSample[int](wanted=2).chosen() == []
    with pytest.raises(InputError):
        EvenSample[int](wanted=0)
