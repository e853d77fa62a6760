"""The closed-form fit: against another library, and what must hold for any points."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform

from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.procrustes import common_points, fit

Points = NDArray[np.float64]
coordinates = st.floats(-500, 500, allow_nan=False, width=32)


@st.composite
def point_pairs(draw: st.DrawFn) -> tuple[Points, Points]:
    n = draw(st.integers(2, 17))
    x, y = (
        draw(arrays(np.float64, (n, 2), elements=coordinates)),
        draw(arrays(np.float64, (n, 2), elements=coordinates)),
    )
    for points in (x, y):
        assume((points - points.mean(0)).std() > 1.0)
    cross = complex(((x - x.mean(0)) @ [1, -1j] * ((y - y.mean(0)) @ [1, 1j])).sum())
    assume(abs(cross) > 1.0)  # below, the best scale is close to 0 and the turn is anything
    return x, y


def turned(points: Points, radians: float) -> Points:
    c, s = math.cos(radians), math.sin(radians)
    return points @ np.array([[c, s], [-s, c]])


def applied(transform: Similarity, points: Points) -> Points:
    return points @ transform.matrix[:, :2].T + transform.matrix[:, 2]


@settings(max_examples=40, deadline=None)
@given(point_pairs())
def test_is_what_scikit_image_finds(pair: tuple[Points, Points]) -> None:
    x, y = pair
    ours, theirs = fit(x, y).matrix, SimilarityTransform.from_estimate(x, y)
    assume(theirs)
    np.testing.assert_allclose(ours, theirs.params[:2], atol=1e-5, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(point_pairs())
def test_no_small_change_fits_better(pair: tuple[Points, Points]) -> None:
    x, y = pair
    best = fit(x, y)
    error = ((applied(best, x) - y) ** 2).sum()
    for scale, angle, shift in ((1.01, 0, 0), (0.99, 0, 0), (1, 0.01, 0), (1, -0.01, 0), (1, 0, 0.5), (1, 0, -0.5)):
        t = best.translation_pixels
        other = Similarity(best.scale * scale, best.angle_radians + angle, (t[0] + shift, t[1] + shift))
        assert ((applied(other, x) - y) ** 2).sum() >= error * (1 - 1e-9) - 1e-9


@settings(max_examples=40, deadline=None)
@given(point_pairs())
def test_never_reflects(pair: tuple[Points, Points]) -> None:
    x, _ = pair
    try:
        transform = fit(x, x * [-1, 1])
    except InputError:
        return
    assert np.linalg.det(transform.matrix[:, :2]) > 0


@settings(max_examples=40, deadline=None)
@given(point_pairs(), st.randoms())
def test_order_of_points_does_not_matter(pair: tuple[Points, Points], random) -> None:
    x, y = pair
    order = random.sample(range(len(x)), len(x))
    np.testing.assert_allclose(fit(x[order], y[order]).matrix, fit(x, y).matrix, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(point_pairs(), st.floats(-3, 3))
def test_turning_both_turns_nothing_between_them(pair: tuple[Points, Points], radians: float) -> None:
    x, y = pair
    before, after = fit(x, y), fit(turned(x, radians), turned(y, radians))
    assert after.scale == pytest.approx(before.scale, rel=1e-6)
    np.testing.assert_allclose(after.matrix[:, :2], before.matrix[:, :2], atol=1e-6)
    np.testing.assert_allclose(
        after.translation_pixels, turned(np.array([before.translation_pixels]), radians)[0], atol=1e-3
    )


@given(st.floats(0.2, 5), st.floats(-3.1, 3.1), st.tuples(coordinates, coordinates), st.integers(2, 17))
def test_finds_the_transform_that_made_the_points(
    scale: float, angle: float, shift: tuple[float, float], n: int
) -> None:
    x = np.random.default_rng(n).uniform(0, 400, (n, 2))
    made = Similarity(scale, angle, shift)
    np.testing.assert_allclose(fit(x, applied(made, x)).matrix, made.matrix, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([[1, 2]], [[3, 4]]),
        ([[5, 5], [5, 5]], [[0, 0], [9, 9]]),
        ([[5, 5], [5, 5.001]], [[0, 0], [9, 9]]),
        ([[0, 0], [9, 9]], [[5, 5], [5, 5]]),
        ([[0, 0], [9, math.nan]], [[5, 5], [6, 6]]),
        ([[0, 0], [9, 9]], [[5, math.inf], [6, 6]]),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [[1, 0], [-1, 0], [0, -1], [0, 1]]),  # a mirror image of a square
    ],
)
def test_points_without_a_transform_are_refused(x: list[list[float]], y: list[list[float]]) -> None:
    with pytest.raises(InputError):
        fit(np.array(x, float), np.array(y, float))


def test_common_points_leave_out_what_is_unseen_or_not_a_number() -> None:
    points, seen = np.full((17, 2), 10.0), np.ones(17)
    other, half = points.copy(), seen.copy()
    other[3, 1], other[5, 0], half[7], half[9] = np.nan, np.inf, 0.49, np.nan
    common = common_points(points, seen, other, half, threshold=0.5)
    assert sorted(set(range(17)) - set(common.tolist())) == [3, 5, 7, 9]


def test_it_is_usable_without_the_rest(project: Path) -> None:
    """The pose estimator, the decoder and the engines are neither imported nor needed."""
    code = (
        "import sys, numpy as np; from tpc_stream.procrustes import fit\n"
        "assert fit(np.eye(3, 2), 2 * np.eye(3, 2)).scale == 2\n"
        "print(sorted({'av', 'mediapipe', 'onnxruntime', 'typer', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
