"""Silhouettes are joined, and tidied without closing true gaps."""

from __future__ import annotations

import numpy as np
import pytest

from tpc_stream.errors import InputError
from tpc_stream.people.silhouette import area_pixels, join_silhouettes, overlap, tidy_silhouette


def _box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((100, 100), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def test_a_limb_that_most_estimates_saw_stays_and_an_invented_one_goes() -> None:
    torso = _box(20, 80, 30, 60)
    arm, ghost = _box(30, 40, 60, 90), _box(60, 70, 60, 90)
    joint = join_silhouettes([torso | arm, torso | arm, torso, torso | ghost])
    assert (joint[32:38, 62:88] == 255).all()
    assert (joint[62:68, 62:88] == 0).all()


def test_one_silhouette_joins_to_itself() -> None:
    assert np.array_equal(join_silhouettes([_box(20, 80, 30, 60)]), _box(20, 80, 30, 60))


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(InputError, match="got none"):
        join_silhouettes([])


def test_only_the_largest_part_is_kept() -> None:
    assert np.array_equal(tidy_silhouette(_box(20, 80, 30, 60) | _box(5, 10, 5, 10)), _box(20, 80, 30, 60))


def test_a_speck_is_filled_and_the_gap_between_arm_and_waist_is_not() -> None:
    body = _box(10, 90, 10, 90)
    body[50, 50] = 0
    body[20:40, 20:40] = 0
    tidy = tidy_silhouette(body)
    assert tidy[50, 50] == 255
    assert (tidy[20:40, 20:40] == 0).all()


def test_a_soft_edge_survives() -> None:
    body = _box(20, 80, 30, 60)
    body[20:80, 60] = 90
    assert (tidy_silhouette(body)[20:80, 60] == 90).all()


def test_an_empty_silhouette_stays_empty() -> None:
    assert not tidy_silhouette(np.zeros((10, 10), np.uint8)).any()
    assert not tidy_silhouette(np.full((10, 10), 100, np.uint8)).any()


def test_overlap_is_of_the_smaller_one() -> None:
    assert overlap(_box(0, 50, 0, 50), _box(0, 10, 0, 10)) == 1.0
    assert overlap(_box(0, 50, 0, 50), _box(0, 50, 25, 75)) == 0.5
    assert overlap(_box(0, 50, 0, 50), np.zeros((100, 100), np.uint8)) == 0.0
    assert area_pixels(_box(0, 50, 0, 50)) == 2500
