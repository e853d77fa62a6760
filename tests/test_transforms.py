"""What Procrustes Warping is compared with: the linear transform of two boxes, and the affine fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.drawn_people import STANDING, bent, placed, silhouette
from tests.test_calibrate import body, portrait, posed, spoilt
from tpc_stream.calibrate import CalibrationConfig, calibrate
from tpc_stream.errors import InputError
from tpc_stream.frame import Affine, Body, Calibration, Similarity
from tpc_stream.procrustes import mask_iou, warp
from tpc_stream.transforms import fit_affine, fit_linear

SEEN = np.ones(17, np.float32)


def person(transform: Similarity, *, seed: int | None = None) -> Body:
    points = placed(STANDING if seed is None else bent(STANDING, seed=seed, pixels=8), transform)
    return Body(points, SEEN, silhouette(points))


def calibrated(kind: str, *bodies: Body | None, **options: float) -> list[Calibration]:
    config = CalibrationConfig(transform=kind, **options)  # type: ignore[arg-type]
    return [frame.calibration for frame in calibrate(posed(*bodies), portrait(), config=config)]


def test_affine_has_the_least_squared_error() -> None:
    rng = np.random.default_rng(0)
    for count in (3, 5, 17):
        x, y = rng.normal(0, 50, (count, 2)), rng.normal(100, 50, (count, 2))
        direct = np.linalg.lstsq(np.column_stack([x, np.ones(count)]), y, rcond=None)[0].T
        np.testing.assert_allclose(fit_affine(x, y).matrix, direct, atol=1e-8)


def test_affine_recovers_shear_and_mirror() -> None:
    for matrix in ([[1.2, 0.3, 4.0], [-0.1, 0.7, -9.0]], [[-1.0, 0.0, 200.0], [0.0, 1.0, 0.0]]):
        known = np.array(matrix)
        y = STANDING @ known[:, :2].T + known[:, 2]
        np.testing.assert_allclose(fit_affine(STANDING, y).matrix, known, atol=1e-5)


@pytest.mark.parametrize(
    "x", [STANDING[:2], np.zeros((5, 2)), np.outer(np.arange(6), (3, 1)), np.full((4, 2), np.nan), STANDING[:, :1]]
)
def test_affine_without_an_answer(x: np.ndarray) -> None:
    with pytest.raises(InputError):
        fit_affine(x, x)


def test_an_affine_transform_says_which_similarity_is_nearest() -> None:
    turned = Similarity(1.7, 2.5, (30.0, -4.0))
    same = Affine(turned.matrix)
    assert same.scale == pytest.approx(1.7) and same.angle_radians == pytest.approx(2.5)
    assert same.translation_pixels == pytest.approx((30.0, -4.0)) and same.stretch == pytest.approx(1.7)
    sheared = Affine(np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0]]))
    near = Similarity(sheared.scale, sheared.angle_radians, (0.0, 0.0))

    def distance(one: Similarity) -> float:
        return float(np.linalg.norm(one.matrix - sheared.matrix))

    for scale, angle in ((0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01)):
        assert distance(near) < distance(Similarity(near.scale + scale, near.angle_radians + angle, (0.0, 0.0)))
    assert sheared.stretch > near.scale
    assert Affine(np.array([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])).scale == 0
    with pytest.raises(InputError):
        Affine(np.full((2, 3), np.nan))
    with pytest.raises(InputError):
        Affine(np.eye(2))


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (0.6, 0.0), (1.0, 1.2), (0.7, -2.6)])
def test_linear_takes_scale_and_turn_from_the_boxes_and_does_not_shift(scale: float, angle: float) -> None:
    before = person(Similarity(0.9, 0.3, (128.0, 128.0)))
    after = person(Similarity(0.9 * scale, 0.3 + angle, (128.0, 128.0)))
    found = fit_linear(before, after)
    assert found.scale == pytest.approx(scale, rel=0.02)
    assert math.remainder(found.angle_radians - angle, math.tau) == pytest.approx(0, abs=0.01)
    elsewhere = Similarity(0.9 * scale, 0.3 + angle, (100.0, 140.0))
    np.testing.assert_allclose(fit_linear(before, person(elsewhere)).matrix, found.matrix, atol=1.5)
    upright = person(Similarity(0.9, 0.0, (128.0, 128.0)))
    rows, columns = np.nonzero(upright.silhouette >= 128)
    middle = np.array([(columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2, 1])
    np.testing.assert_allclose(fit_linear(upright, after).matrix @ middle, middle[:2], atol=1e-6)


def test_linear_needs_a_torso_in_both() -> None:
    whole = person(Similarity(0.9, 0.0, (128.0, 128.0)))
    for hidden in ((5, 6), (11, 12)):
        seen = SEEN.copy()
        seen[list(hidden)] = 0.1
        half = Body(whole.keypoints, seen, whole.silhouette)
        for pair in ((whole, half), (half, whole)):
            with pytest.raises(InputError, match="a shoulder and a hip"):
                fit_linear(*pair)
    with pytest.raises(InputError, match="empty"):
        fit_linear(whole, Body(whole.keypoints, SEEN, np.zeros_like(whole.silhouette)))


@pytest.mark.parametrize("kind", ["linear", "affine"])
def test_in_the_stage_it_has_an_exact_iou_and_its_points(kind: str) -> None:
    people = [body(), body(Similarity(0.6, 0.5, (110.0, 120.0)), seed=3)]
    others, own = calibrated(kind, *people), portrait()
    for other, target, best in zip(others, people, calibrated("procrustes", *people), strict=True):
        assert other.status == "fresh" and other.iou > 0.2
        warped = warp(own.image, own.mask, other.transform, width=256, height=256)[1]
        assert other.iou == pytest.approx(mask_iou(warped, target.silhouette), abs=1e-9)
        assert other.subset.bit_count() == (17 if kind == "affine" else 4)
        assert other.search_seconds > 0
        if kind == "linear":
            assert best.iou > other.iou, "it cannot shift"
    assert isinstance(others[0].transform, Affine if kind == "affine" else Similarity)


@pytest.mark.parametrize("kind", ["linear", "affine"])
@pytest.mark.parametrize("wrong", ["person", "empty", "one point", "coincident", "huge", "nan", "elsewhere"])
def test_what_shows_no_transform_is_held_as_ever(kind: str, wrong: str) -> None:
    good, bad = calibrated(kind, body(), spoilt(wrong))
    if bad.status == "fresh":
        # it looks at the direction of the torso and at the silhouette, which are both there
        assert (kind, wrong) in {("linear", "elsewhere"), ("linear", "huge")}
        return
    assert bad.status == "held" and bad.transform is good.transform and bad.reason and bad.subset == 0


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="procrustes, linear, affine"):
        CalibrationConfig(transform="projective")  # type: ignore[arg-type]
