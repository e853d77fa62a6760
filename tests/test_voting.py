"""Answers that agree win over outliers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.dots import STANDING
from tpc_stream.errors import InputError
from tpc_stream.frame import Body
from tpc_stream.people.voting import body_size_pixels, torso_angle_degrees, vote

_SWAPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def _body(*, noise: float = 0.0, seed: int = 0, degrees: float = 0.0, visibility: float = 0.9) -> Body:
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    points = (STANDING - 50) @ np.array([[c, s], [-s, c]]) + 50
    points = points + np.random.default_rng(seed).normal(0, noise, points.shape)
    silhouette = np.zeros((100, 100), np.uint8)
    silhouette[10:90, 30:70] = 255
    return Body(points.astype(np.float32), np.full(17, visibility, np.float32), silhouette)


def test_agreeing_answers_outvote_upside_down_ones() -> None:
    right = [_body(noise=1.5, seed=k) for k in range(6)]
    wrong = [_body(noise=1.5, seed=10 + k, degrees=180, visibility=1.0) for k in range(4)]
    answers = [wrong[0], *right[:3], *wrong[1:], *right[3:]]
    result = vote(answers, agreement=0.1)
    assert result.winners == (1, 2, 3, 7, 8, 9)
    assert np.abs(result.body.keypoints - STANDING).mean() < 1.0
    assert abs(torso_angle_degrees(result.body)) < 4
    assert 0.5 < result.runner_up_share < 0.9


def test_a_body_taken_left_for_right_does_not_mix_with_the_right_one() -> None:
    front = [_body(noise=0.5, seed=k) for k in range(3)]
    mirrored = _body()
    back = Body(mirrored.keypoints[_SWAPPED], mirrored.visibility, mirrored.silhouette)
    assert vote([back, *front], agreement=0.1).winners == (1, 2, 3)


def test_clear_answers_count_more_than_many_dim_ones() -> None:
    clear = [_body(noise=0.5, seed=k, visibility=1.0) for k in range(2)]
    dim = [_body(noise=0.5, seed=5 + k, degrees=90, visibility=0.2) for k in range(5)]
    assert vote([*dim, *clear], agreement=0.1).winners == (5, 6)


def test_one_wrong_keypoint_does_not_move_the_median() -> None:
    answers = [_body() for _ in range(5)]
    off = answers[2].keypoints.copy()
    off[9] += 40
    answers[2] = Body(off, answers[2].visibility, answers[2].silhouette)
    result = vote(answers, agreement=0.1)
    assert result.winners == (0, 1, 2, 3, 4)
    assert np.abs(result.body.keypoints - STANDING).max() < 0.01


def test_two_equal_answers_meet_in_the_middle() -> None:
    one, other = _body(), _body()
    moved = Body(other.keypoints + 4, other.visibility, other.silhouette)
    assert np.allclose(vote([one, moved], agreement=0.1).body.keypoints, STANDING + 2, atol=1e-3)


def test_a_single_answer_is_its_own_vote() -> None:
    result = vote([_body()], agreement=0.1)
    assert result.winners == (0,) and result.runner_up_share == 0.0
    assert np.allclose(result.body.keypoints, STANDING, atol=1e-4)


def test_no_answers_are_an_error() -> None:
    with pytest.raises(InputError, match="no answer"):
        vote([], agreement=0.1)


@pytest.mark.parametrize("degrees", [-170.0, -90.0, 0.0, 55.0, 120.0])
def test_torso_angle_is_clockwise_from_upright(degrees: float) -> None:
    assert torso_angle_degrees(_body(degrees=degrees)) == pytest.approx(degrees, abs=0.01)


def test_body_size_is_the_diagonal_of_its_keypoints() -> None:
    assert body_size_pixels(_body()) == pytest.approx(np.hypot(40, 90))
