"""Pictures on a canvas of another shape: nothing stretched, nothing lost that should stay."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpc_stream.errors import InputError
from tpc_stream.fit import FitGeometry, FitMode, fit_frames, fit_image
from tpc_stream.frame import Frame

sizes = st.integers(1, 300)


def blob(width: int, height: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width] + 0.5
    return (np.hypot(xs - x, ys - y) < radius).astype(np.uint8) * 255


def centre(image: np.ndarray) -> tuple[float, float]:
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return float((xs * image).sum() / image.sum()), float((ys * image).sum() / image.sum())


@given(sizes, sizes, sizes, sizes, st.sampled_from(["crop", "pad"]))
def test_geometry_holds_its_promises(sw: int, sh: int, width: int, height: int, mode: FitMode) -> None:
    fit = FitGeometry.of(source_width=sw, source_height=sh, width=width, height=height, mode=mode)
    points = np.array([[0, 0], [sw, sh], [sw / 3, sh / 5]], np.float64)
    np.testing.assert_allclose(fit.to_source(fit.to_canvas(points)), points, atol=1e-9)
    if mode == "pad":
        assert fit.scaled_width <= width and fit.scaled_height <= height
        assert fit.scaled_width == width or fit.scaled_height == height
    else:
        assert fit.scaled_width >= width and fit.scaled_height >= height
    # Centred to within a pixel, and both axes scaled alike up to whole pixels.
    assert abs(2 * fit.left + fit.scaled_width - width) <= 1 and abs(2 * fit.top + fit.scaled_height - height) <= 1
    exact = min(width / sw, height / sh) if mode == "pad" else max(width / sw, height / sh)
    assert abs(fit.scaled_width - exact * sw) <= 1 and abs(fit.scaled_height - exact * sh) <= 1


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (120, 50), (50, 120), (400, 300)])
def test_a_spot_lands_where_the_geometry_says(mode: FitMode, width: int, height: int) -> None:
    image = blob(160, 120, 70.5, 66.0, 12)
    fit = FitGeometry.of(source_width=160, source_height=120, width=width, height=height, mode=mode)
    got = centre(fit_image(image, width=width, height=height, mode=mode))
    np.testing.assert_allclose(got, fit.to_canvas(np.array([70.5, 66.0])), atol=0.2)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (40, 60, 1), (40, 60, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_ranks_and_types_stay(shape: tuple[int, ...], dtype: type) -> None:
    image = np.full(shape, 7, dtype)
    for mode in ("crop", "pad"):
        got = fit_image(image, width=33, height=48, mode=mode)
        assert got.shape == (48, 33, *shape[2:]) and got.dtype == dtype and got.flags.c_contiguous
        np.testing.assert_allclose(got, 7, rtol=1e-6)


def test_padding_repeats_the_edges() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    image[0], image[-1] = (255, 0, 0), (0, 0, 255)
    got = fit_image(image, width=20, height=30, mode="pad")
    assert (got[:11] == (255, 0, 0)).all() and (got[19:] == (0, 0, 255)).all()
    assert (got[11:19] == 0).all()


def test_cropping_keeps_the_middle() -> None:
    image = np.arange(30, dtype=np.uint8)[None].repeat(10, 0)
    np.testing.assert_array_equal(fit_image(image, width=10, height=10, mode="crop")[0], np.arange(10, 20))


def test_shrinking_averages() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    got = fit_image(board, width=16, height=16)
    assert abs(got.astype(int) - 127.5).max() <= 1


def test_the_right_size_comes_back_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 255, (12, 9, 3), dtype=np.uint8)
    assert fit_image(image, width=9, height=12) is image


def test_frames_keep_everything_but_their_size() -> None:
    alpha = np.full((10, 20), 255, np.uint8)
    frame = Frame(4, Fraction(1, 3), np.zeros((10, 20, 3), np.uint8), 1.5, alpha)
    (got,) = fit_frames([frame], width=40, height=40)
    assert (got.index, got.pts_seconds, got.captured_seconds) == (4, Fraction(1, 3), 1.5)
    assert got.image.shape == (40, 40, 3)
    assert got.alpha is not None and (got.alpha[10:30] == 255).all()
    assert not got.alpha[:10].any() and not got.alpha[30:].any()


def test_frames_are_taken_one_by_one() -> None:
    taken = []

    def source():
        for k in range(3):
            taken.append(k)
            yield Frame(k, Fraction(k), np.zeros((4, 4, 3), np.uint8), 0.0)

    assert next(fit_frames(source(), width=8, height=8)).index == 0
    assert taken == [0]


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (np.zeros(4, np.uint8), {"width": 4, "height": 4}),
        (np.zeros((4, 4), np.int64), {"width": 4, "height": 4}),
        (np.zeros((4, 4), np.uint8), {"width": 0, "height": 4}),
        (np.zeros((0, 4), np.uint8), {"width": 4, "height": 4}),
        (np.zeros((4, 4), np.uint8), {"width": 4, "height": 4, "mode": "stretch"}),
    ],
)
def test_bad_arguments_are_refused(image: np.ndarray, options: dict) -> None:
    with pytest.raises(InputError, match="got"):
        fit_image(image, **options)


def test_a_geometry_refuses_another_size() -> None:
    fit = FitGeometry.of(source_width=8, source_height=4, width=16, height=16, mode="pad")
    with pytest.raises(InputError, match="8x4"):
        fit.apply(np.zeros((8, 4), np.uint8))
