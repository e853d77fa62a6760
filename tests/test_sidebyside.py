"""Four pictures in one: where each lies, its size and its labels."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.animated import animated_frame, portrait
from tpc_stream.frame import IDENTITY, Calibration
from tpc_stream.sidebyside import GAP_PIXELS, LABEL_PIXELS, side_by_side


def plain(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (256, 256), (257, 301), (512, 384)])
def test_the_four_stand_in_order_at_one_height(height: int, width: int) -> None:
    frame = animated_frame(3, Fraction(1, 10), image=plain(height, width, 220), driving=plain(300, 200, 100))
    (joined,) = side_by_side([frame], portrait=portrait(plain(300, 200, 50)), calibrated=lambda f: plain(300, 200, 150))
    assert (joined.index, joined.pts_seconds, joined.source) == (3, Fraction(1, 10), frame.source)
    high, wide = joined.image.shape[:2]
    assert high % 2 == wide % 2 == 0
    assert high == LABEL_PIXELS + max(256, height + height % 2)
    scale = (high - LABEL_PIXELS) / 300
    canvas = 2 * round(200 * scale / 2)
    lefts = [k * (canvas + GAP_PIXELS) for k in range(4)]
    row = joined.image[LABEL_PIXELS + 10, :, 0]
    for left, value in zip(lefts, (50, 100, 150, 220), strict=True):
        assert (row[left : left + 64] == value).all()
    assert wide - lefts[3] == pytest.approx(width * (high - LABEL_PIXELS) / height, abs=1)


def test_every_picture_has_a_label() -> None:
    frame = animated_frame(0, Fraction(0), image=plain(256, 256, 0), driving=plain(256, 256, 0))
    (joined,) = side_by_side([frame], portrait=portrait(plain(256, 256, 0)), calibrated=lambda f: plain(256, 256, 0))
    for k in range(4):
        left = k * (256 + GAP_PIXELS)
        strip = joined.image[:LABEL_PIXELS, left : left + 256]
        assert strip.max() > 200 and strip.min() < 40
        assert (strip[:, :4] < 40).all() and (strip[:, -4:] < 40).all()  # the text fits in


def test_the_label_of_the_calibrated_tells_when_it_is_held() -> None:
    def label(status: str, iou: float) -> np.ndarray:
        calibration = Calibration(IDENTITY, 0, iou, status)
        frame = animated_frame(0, Fraction(0), image=plain(256, 256, 0), calibration=calibration)
        (joined,) = side_by_side(
            [frame], portrait=portrait(plain(256, 256, 0)), calibrated=lambda f: plain(256, 256, 0)
        )
        return joined.image[:LABEL_PIXELS]

    labels = [label("fresh", 0.5), label("held", 0.5), label("fresh", 0.6), label("uncalibrated", float("nan"))]
    assert all(not np.array_equal(a, b) for i, a in enumerate(labels) for b in labels[:i])


def test_it_takes_one_frame_at_a_time() -> None:
    taken = []

    def frames():
        for i in range(5):
            taken.append(i)
            yield animated_frame(i, Fraction(i))

    stage = side_by_side(frames(), portrait=portrait(plain(64, 64, 0)), calibrated=lambda f: plain(64, 64, 0))
    next(stage)
    assert taken == [0]
