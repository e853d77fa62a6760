"""The measure of seams, on pictures whose seams are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.seams import borders, differences, seams
from tpc_stream.bundle import open_bundle
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import Plan, make_plan

MOTION = np.random.default_rng(0).uniform(2, 12, 63).round()
"""Levels by which each frame is brighter than the one before."""


def pictures(planted: dict[int, int]) -> Iterator[NDArray[np.uint8]]:
    """64 frames that move as MOTION says, there and back, and by so much more at the frames of `planted`."""
    level, way = 0, 1
    for k in range(64):
        if k:
            step = int(MOTION[k - 1]) + planted.get(k, 0)
            way = -way if not 0 <= level + way * step <= 255 else way
            level += way * step
        yield np.full((4, 4, 3), level, np.uint8)


ALONE = differences(pictures({}))
WINDOWS = list(range(8, 64, 8))


def test_differences_are_of_neighbours_in_levels() -> None:
    np.testing.assert_array_equal(ALONE, MOTION)
    assert differences([np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)]).tolist() == [255.0]


def test_motion_is_no_seam() -> None:
    found = seams(differences(pictures({})), ALONE, WINDOWS)
    assert (found.count, found.mean, found.p95) == (7, pytest.approx(1.0), pytest.approx(1.0))


def test_a_planted_seam_is_found_where_it_lies() -> None:
    planted = differences(pictures({k: 3 for k in WINDOWS}))
    found = seams(planted, ALONE, WINDOWS)
    ratios = 1 + 3 / MOTION[[k - 1 for k in WINDOWS]]
    assert found.mean == pytest.approx(ratios.mean()) and found.p95 == pytest.approx(np.percentile(ratios, 95))
    elsewhere = seams(planted, ALONE, [k + 3 for k in WINDOWS if k < 60], apart=WINDOWS)
    assert elsewhere.p95 == pytest.approx(1.0)
    drawn = seams(differences(pictures({16: 3})), ALONE, [k for k in WINDOWS if k != 16], apart=[16])
    assert drawn.p95 == pytest.approx(1.0)


def test_where_all_are_borders_the_motion_alone_is_the_interior() -> None:
    found = seams(1.5 * ALONE, ALONE, range(64))
    assert (found.count, found.mean) == (63, pytest.approx(1.5))


def test_frames_that_stand_still_say_nothing() -> None:
    alone = ALONE.copy()
    alone[7] = 0.0
    assert seams(ALONE, alone, WINDOWS).count == 6
    assert seams(ALONE, np.zeros_like(ALONE), WINDOWS).count == 0
    with pytest.raises(ValueError, match="got 64 and 63"):
        seams(ALONE, ALONE[1:], WINDOWS)


def plan(tiny: Path, **choices: int) -> Plan:
    return make_plan(open_bundle(tiny), AnimateOptions(bundle=tiny, **choices))


def test_borders_are_those_of_the_plan(tiny: Path) -> None:
    assert borders(plan(tiny, window=8, group_size=4), 20) == {"window": [8, 16], "group": [4, 12]}
    faded = borders(plan(tiny, window=8, overlap=2, group_size=2), 16)
    assert faded["window"] == [6, 7, 8, 12, 13, 14] and faded["group"] == [2, 4, 10]
    assert borders(plan(tiny, window=8, group_size=1), 20) == {"window": [8, 16], "group": []}
