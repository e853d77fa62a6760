"""Steadying: what a move costs, how far the answer may fall behind, and that it forgets when told to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from bench.drawn_people import STANDING, bent, placed, silhouette
from tpc_stream.calibrate import CalibrationConfig, calibrate
from tpc_stream.errors import InputError
from tpc_stream.frame import Body, CalibratedFrame, Frame, Portrait, PosedFrame, Similarity
from tpc_stream.procrustes import SearchConfig, Searcher
from tpc_stream.searcher import score_all, score_fits
from tpc_stream.silhouettes import TargetSilhouette
from tpc_stream.steady import Anchor, Previous, SteadyConfig
from tpc_stream.subset_search import fit_subsets

SEEN = np.ones(17, np.float32)
BLANK = np.zeros((256, 256, 3), np.uint8)
OWN = placed(STANDING, Similarity(0.9, -0.6, (120.0, 128.0)))
PURE = SearchConfig(steady=SteadyConfig(tolerance=0.0))
LAST = Similarity(0.8, 0.5, (20.0, 30.0))
BEFORE = Previous(LAST, iou=1.0, seconds=0.04)


def swaying(frames: int, *, first: int = 0) -> Iterator[PosedFrame]:
    """A person who moves slowly and waves, seen by a noisy estimator."""
    for i in range(first, frames):
        y = placed(
            bent(bent(STANDING, seed=1, pixels=25), seed=i, pixels=5),
            Similarity(0.8, 0.1 + 0.002 * i, (125.0 + i / 4, 125.0)),
        )
        noisy = y + np.random.default_rng(i).normal(0, 2.0, y.shape).astype(np.float32)
        body = None if i == 9 else Body(noisy, SEEN, silhouette(y))
        yield PosedFrame(Frame(i, Fraction(i, 25), BLANK, 0.0), body)


def run(config: SearchConfig, *, frames: int = 16, first: int = 0) -> list[CalibratedFrame]:
    mask = silhouette(OWN)
    portrait = Portrait(BLANK, mask, Body(OWN, SEEN, mask))
    return list(calibrate(swaying(frames, first=first), portrait, config=CalibrationConfig(search=config)))


def matrices(frames: list[CalibratedFrame]) -> np.ndarray:
    return np.array([f.calibration.transform.matrix for f in frames])


def test_the_loops_charge_what_the_move_costs() -> None:
    config = SearchConfig(steady=SteadyConfig(speed_weight=0.003, scale_weight=0.4))
    searcher = Searcher(OWN, SEEN, silhouette(OWN), config=config)
    y = placed(bent(STANDING, seed=2, pixels=25), LAST).astype(np.float64)
    target = TargetSilhouette.of(silhouette(placed(STANDING, LAST)), threshold=128)
    anchor = Anchor.of(BEFORE, samples=searcher.silhouette.samples[2048], config=config.steady)
    few = [5, 6, 7, 8, 9, 14]
    x, y = OWN.astype(np.float64)[few], y[few]
    scores, steadied = score_all(x, y, searcher.silhouette, target, config, anchor=anchor)
    subsets = np.flatnonzero(scores >= 0)
    fits = fit_subsets(x, y, subsets)
    costs = np.array([anchor.cost(complex(*f[:2]), complex(*f[2:])) for f in fits])
    assert costs.max() > 2 * costs.min() > 0
    np.testing.assert_allclose((scores - steadied)[subsets], costs, rtol=1e-3, atol=1e-4)
    for estimate in config.rounds[1:]:
        scores, steadied = score_fits(fits, searcher.silhouette, target, estimate, anchor=anchor)
        np.testing.assert_allclose(scores - steadied, costs, rtol=1e-3, atol=1e-4)


def test_a_move_costs_how_fast_the_silhouette_shifts_in_its_own_sizes() -> None:
    points = np.random.default_rng(0).uniform(0, 200, (2, 500))
    config = SteadyConfig(speed_weight=1.0, scale_weight=0.0, glide_speed=4.0)
    anchor = Anchor.of(Previous(LAST, 0.5, 0.1), samples=points, config=config)
    other = Similarity(0.9, 0.7, (12.0, 50.0))
    shifts = np.linalg.norm((other.matrix - LAST.matrix) @ np.vstack([points, np.ones((1, 500))]), axis=0)
    size = 0.8 * math.sqrt(points.var(axis=1).sum())
    a = other.scale * complex(math.cos(other.angle_radians), math.sin(other.angle_radians))
    speed = math.sqrt((shifts**2).mean()) / size / 0.1
    expected = 0.5**2 * speed * (1 + speed / 4)
    assert anchor.cost(a, complex(*other.translation_pixels)) == pytest.approx(expected)
    assert anchor.tolerance == pytest.approx(0.5**2 * config.tolerance)
    still = SteadyConfig(speed_weight=0.0, scale_weight=1.0)
    only_scale = Anchor.of(Previous(LAST, 0.5, 0.1), samples=points, config=still)
    assert only_scale.cost(1.6 + 0j, 0j) == pytest.approx((4 - 1) / (4 + 1))
    assert only_scale.cost(0.4 + 0j, 0j) == pytest.approx((4 - 1) / (4 + 1)), "twice and half cost the same"


def test_steadied_frames_shake_less_and_never_fall_further_behind_than_allowed() -> None:
    pure, steadied = run(PURE), run(SearchConfig())
    for one, other in zip(pure, steadied, strict=True):
        if one.calibration.status == "fresh":
            assert other.calibration.iou >= one.calibration.iou - SteadyConfig().tolerance
    first, second = matrices(pure), matrices(steadied)
    points = np.column_stack([OWN[[5, 6, 11, 12]], np.ones(4)]).T

    def jitter(ways: np.ndarray) -> float:
        return float(np.linalg.norm(np.diff((ways @ points)[:9], n=2, axis=0), axis=1).mean())

    assert jitter(second) < 0.7 * jitter(first)
    assert np.ptp(np.linalg.norm(second[:9, :, 0], axis=1)) <= np.ptp(np.linalg.norm(first[:9, :, 0], axis=1))


def test_without_a_last_transform_it_is_the_pure_argmax() -> None:
    pure, steadied = run(PURE), run(SearchConfig())
    assert steadied[9].calibration.status == "held"
    for k in (0, 10):  # the first frame, and the first after a hold
        assert np.array_equal(steadied[k].calibration.transform.matrix, pure[k].calibration.transform.matrix)
    assert not np.array_equal(matrices(pure), matrices(steadied))
    nothing = SearchConfig(steady=SteadyConfig(speed_weight=0.0, scale_weight=0.0))
    np.testing.assert_array_equal(matrices(run(nothing)), matrices(pure), "moving is free: the best IoU wins")


def test_a_stream_cut_where_the_past_is_forgotten_gives_the_same_bits() -> None:
    config = SearchConfig(steady=SteadyConfig(restart_frames=5))
    whole, pieces = run(config), [*run(config, frames=5), *run(config, first=5)]
    assert np.array_equal(matrices(whole), matrices(pieces))
    assert not np.array_equal(matrices(whole), matrices(run(SearchConfig())))


def test_an_anchor_far_away_is_no_obstacle() -> None:
    searcher, y = Searcher(OWN, SEEN, silhouette(OWN)), placed(STANDING, Similarity(0.8, 0.2, (128.0, 128.0)))
    pure = searcher.search(y, SEEN, silhouette(y))
    far = searcher.search(y, SEEN, silhouette(y), previous=Previous(Similarity(8.0, 3.0, (5000.0, -9000.0)), 0.5, 0.04))
    assert pure is not None and far is not None and far.iou >= pure.iou - SteadyConfig().tolerance * 0.25 - 1e-3


def test_configurations_that_cannot_be_are_refused() -> None:
    for bad in (
        {"tolerance": -0.1}, {"tolerance": 1.0}, {"tolerance": math.nan}, {"speed_weight": -1.0}, {"glide_speed": 0.0},
        {"scale_weight": math.inf}, {"restart_frames": -1},
    ):  # fmt: skip
        with pytest.raises(InputError):
            SteadyConfig(**bad)
