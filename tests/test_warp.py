"""Laying a picture under a transform: where pixels land, how they shrink, and what does not bleed."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from tpc_stream.errors import InputError
from tpc_stream.frame import IDENTITY, Similarity
from tpc_stream.warp import Warper, rescaled, screened, warp


@pytest.fixture
def disc() -> np.ndarray:
    return cv2.circle(np.zeros((64, 64), np.uint8), (40, 24), 12, 255, -1, cv2.LINE_AA)


def test_the_identity_changes_no_bit(disc: np.ndarray) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    out, mask = warp(image, disc, IDENTITY, width=64, height=64)
    assert np.array_equal(mask, disc)
    assert np.array_equal(out, screened(image, disc))
    assert np.array_equal(out[disc == 255], image[disc == 255])
    assert (out[disc == 0] == 128).all()


@pytest.mark.parametrize(
    ("transform", "there"),
    [
        (Similarity(1.0, math.pi / 2, (64.0, 0.0)), lambda m: np.rot90(m, -1)),  # clockwise on the screen
        (Similarity(1.0, math.pi, (64.0, 64.0)), lambda m: np.rot90(m, 2)),
        (Similarity(1.0, 0.0, (5.0, -3.0)), lambda m: np.roll(m, (-3, 5), (0, 1))),
    ],
)
def test_pixels_land_on_pixels(disc: np.ndarray, transform: Similarity, there) -> None:
    _, mask = warp(np.zeros((64, 64, 3), np.uint8), disc, transform, width=64, height=64)
    assert np.abs(mask.astype(int) - there(disc)).max() <= 1


@pytest.mark.parametrize("scale", [0.2, 0.3, 0.5, 0.69, 0.9, 1.5])
def test_area_and_place_follow_the_scale(disc: np.ndarray, scale: float) -> None:
    _, mask = warp(np.zeros((64, 64, 3), np.uint8), disc, Similarity(scale, 0.4, (20.0, 10.0)), width=96, height=96)
    assert mask.sum() / disc.sum() == pytest.approx(scale**2, rel=0.03)
    moments, before = cv2.moments(mask), cv2.moments(disc)
    centre = np.array([before["m10"] / before["m00"] + 0.5, before["m01"] / before["m00"] + 0.5, 1])
    expected = Similarity(scale, 0.4, (20.0, 10.0)).matrix @ centre - 0.5
    assert moments["m10"] / moments["m00"] == pytest.approx(expected[0], abs=0.1)
    assert moments["m01"] / moments["m00"] == pytest.approx(expected[1], abs=0.1)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    out, _ = warp(stripes, np.full((128, 128), 255, np.uint8), Similarity(0.4, 0.0, (0.0, 0.0)), width=51, height=51)
    inner = out[4:-4, 4:-4].astype(int)
    assert inner.max() - inner.min() <= 4, "fine stripes shrink to even grey, not to moiré"


@pytest.mark.parametrize("scale", [0.3, 0.8, 1.7])
def test_no_background_bleeds_into_the_border(disc: np.ndarray, scale: float) -> None:
    image = np.full((64, 64, 3), (255, 0, 0), np.uint8)  # a red background
    image[disc > 0] = (128, 128, 128)
    out, _ = warp(image, disc, Similarity(scale, 0.7, (15.0, 5.0)), width=96, height=96)
    assert (np.abs(out.astype(int) - 128) <= 1).all(), "a grey person on grey: nothing red is left"


@pytest.mark.parametrize("scale", [0.13, 0.35, 0.6, 0.99, 2.5])
def test_a_part_of_the_canvas_is_that_part_of_the_whole(disc: np.ndarray, scale: float) -> None:
    warper = Warper.of(disc, (0,))
    for angle in (0.0, 0.6, 2.9):
        transform = Similarity(scale, angle, (31.7, 20.2))
        whole = warper.warp(transform, width=80, height=70)
        left, top, right, bottom = warper.landing_box(transform, width=80, height=70)
        part = warper.warp(transform, width=right - left, height=bottom - top, corner=(left, top))
        difference = np.abs(part.astype(int) - whole[top:bottom, left:right])
        assert difference.max() <= 1, "the last bit of a rounded pixel at most"
        outside = whole.copy()
        outside[top:bottom, left:right] = 0
        assert not outside.any()


def test_what_lands_outside_leaves_the_fill(disc: np.ndarray) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    out, mask = warp(image, disc, Similarity(1.0, 0.0, (1e5, 0.0)), width=32, height=16, fill=7)
    assert out.shape == (16, 32, 3) and (out == 7).all() and not mask.any()


def test_rescaled_is_the_same_transform_on_other_sizes() -> None:
    before = Similarity(0.7, 0.3, (12.0, -4.0))
    after = rescaled(before, source=2.0, target=3.0)
    point = np.array([17.0, 5.0])
    np.testing.assert_allclose(after.matrix @ [*(2 * point), 1], 3 * (before.matrix @ [*point, 1]), atol=1e-9)


def test_what_cannot_be_warped_is_refused(disc: np.ndarray) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    for scale in (0.0, math.nan, math.inf):
        with pytest.raises(InputError):
            warp(image, disc, Similarity(scale, 0.0, (0.0, 0.0)), width=8, height=8)
    with pytest.raises(InputError):
        warp(image, disc[:-1], IDENTITY, width=8, height=8)
    with pytest.raises(InputError):
        warp(image, disc, IDENTITY, width=0, height=8)
    with pytest.raises(InputError):
        warp(image, disc, IDENTITY, width=8, height=8, fill=256)
    with pytest.raises(InputError):
        rescaled(IDENTITY, source=0.0)
