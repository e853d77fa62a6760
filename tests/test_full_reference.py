"""The calibrated reference from the picture's own pixels: the same place, sharper."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bench.drawn_people import STANDING, placed, silhouette
from tpc_stream.fit import FitMode, fit_image
from tpc_stream.frame import IDENTITY, Body, Portrait, Similarity
from tpc_stream.full_reference import FILL, FullReference
from tpc_stream.procrustes import mask_iou, warp

NEARER = Similarity(2.2, 0.4, (-60.0, -120.0))


def picture(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Fine stripes, and the mask of a person in the middle."""
    rows, columns = np.mgrid[:height, :width]
    image = np.dstack([(columns // 2 % 2 * 200 + 25), (rows // 2 % 2 * 200 + 25), np.full((height, width), 90)])
    points = placed(STANDING, Similarity(height / 260, 0.0, (width / 2, height / 2)))
    return image.astype(np.uint8), silhouette(points, width=width, height=height)


def made(image: np.ndarray, mask: np.ndarray, *, width: int, height: int, mode: FitMode) -> Portrait:
    fitted = fit_image(mask, width=width, height=height, mode=mode)
    body = Body(np.zeros((17, 2), np.float32), np.ones(17, np.float32), fitted)
    return Portrait(fit_image(image, width=width, height=height, mode=mode), fitted, body)


@pytest.mark.parametrize("transform", [IDENTITY, NEARER])
def test_a_picture_of_the_canvas_size_is_warped_as_ever(transform: Similarity) -> None:
    image, mask = picture(128, 128)
    full = FullReference.of(image, mask, portrait=made(image, mask, width=128, height=128, mode="pad"), fit_mode="pad")
    expected = warp(image, mask, transform, width=128, height=128)
    for ours, theirs in zip(full.calibrated(transform), expected, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("mode", ["pad", "crop"])
@pytest.mark.parametrize("size", [(512, 512), (400, 600), (600, 400)])
@pytest.mark.parametrize("own_mask", [True, False])
def test_a_larger_picture_lands_where_the_fitted_one_does(mode: FitMode, size: tuple[int, int], own_mask: bool) -> None:
    image, mask = picture(*size)
    portrait = made(image, mask, width=128, height=96, mode=mode)
    full = FullReference.of(image, mask if own_mask else None, portrait=portrait, fit_mode=mode)
    for transform in (IDENTITY, NEARER):
        ours, our_mask = full.calibrated(transform)
        _, their_mask = warp(portrait.image, portrait.mask, transform, width=128, height=96)
        assert ours.shape == (96, 128, 3) and our_mask.shape == (96, 128)
        # a crop leaves the canvas' border alone: there the fitted one is smeared by half a pixel more
        assert mask_iou(our_mask, their_mask) > 0.96
        assert (ours[our_mask == 0] == FILL).all()


def test_a_larger_picture_comes_nearer_with_its_details() -> None:
    image, mask = picture(512, 512)
    portrait = made(image, mask, width=128, height=128, mode="pad")
    full = FullReference.of(image, mask, portrait=portrait, fit_mode="pad")
    near = Similarity(4.0, 0.0, (-192.0, -192.0))
    sharp = full.calibrated(near)[0][40:60, 52:76, 0].astype(int)
    blurred = warp(portrait.image, portrait.mask, near, width=128, height=128)[0][40:60, 52:76, 0].astype(int)
    assert sharp.std() > 3 * blurred.std()
    assert np.array_equal(sharp, image[232:252, 244:268, 0].astype(int))


def test_what_a_crop_cuts_off_stays_cut_off() -> None:
    image, mask = picture(200, 600)
    portrait = made(image, mask, width=100, height=100, mode="crop")
    full = FullReference.of(image, mask, portrait=portrait, fit_mode="crop")
    _, shown = full.calibrated(Similarity(0.3, 0.0, (35.0, 35.0)))
    _, _, _, height = cv2.boundingRect((shown >= 128).astype(np.uint8))
    assert height <= 31, "of the person only what lay on the canvas"
