"""Iterative Propagation: groups, fair draws, and independence of how a stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tpc_stream.errors import InputError
from tpc_stream.propagation import draw_window, drawn_frame, group_size_from_groups

sizes = st.integers(1, 9)
seeds = st.integers(-(2**40), 2**70)


@given(st.integers(0, 10**9), seeds, st.integers(0, 50), sizes)
def test_a_frame_draws_from_its_own_group_and_all_of_the_group_draws_the_same(
    index: int, seed: int, step: int, size: int
) -> None:
    first = index // size * size
    draws = {drawn_frame(i, seed=seed, step=step, group_size=size) for i in range(first, first + size)}
    assert len(draws) == 1 and first <= draws.pop() < first + size


@given(seeds, sizes, st.integers(1, 6), st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 8))
def test_windows_do_not_change_the_draws(seed: int, size: int, steps: int, cuts: list[int], left_over: int) -> None:
    left_over = min(left_over, size - 1)
    total = sum(cuts) * size + left_over
    whole = draw_window(0, total, steps=steps, seed=seed, group_size=size, total=total)
    first, parts = 0, []
    for i, cut in enumerate(cuts):
        length = cut * size + (left_over if i == len(cuts) - 1 else 0)
        part = draw_window(first, length, steps=steps, seed=seed, group_size=size, total=total)
        parts.append(np.array(part.drawn)[part.gather])
        first += length
    assert np.array_equal(np.concatenate(parts, 1), np.array(whole.drawn)[whole.gather])


@given(st.integers(0, 20), st.integers(1, 40), st.integers(1, 5), seeds, sizes)
def test_only_what_is_used_is_encoded(group: int, length: int, steps: int, seed: int, size: int) -> None:
    draws = draw_window(group * size, length, steps=steps, seed=seed, group_size=size)
    assert draws.gather.shape == (steps, length) and draws.gather.dtype == np.int64
    assert list(draws.drawn) == sorted(set(draws.drawn))
    assert set(draws.gather.ravel().tolist()) == set(range(len(draws.drawn)))
    for (step, frame), place in np.ndenumerate(draws.gather):
        total = group * size + length
        one = drawn_frame(group * size + frame, seed=seed, step=step, group_size=size, total=total)
        assert draws.drawn[place] == one < total


def chance(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1))


@pytest.mark.parametrize("size", [2, 3, 4, 7])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_draws_are_uniform_over_groups_steps_and_seeds(size: int, seed: int) -> None:
    def places(draws: list[int]) -> np.ndarray:
        return np.bincount(np.array(draws) % size, minlength=size)

    groups = [drawn_frame(g * size, seed=seed, step=0, group_size=size) for g in range(4000)]
    steps = [drawn_frame(8 * size, seed=seed, step=s, group_size=size) for s in range(4000)]
    others = [drawn_frame(8 * size, seed=seed + s, step=3, group_size=size) for s in range(4000)]
    for draws in (groups, steps, others):
        assert chance(places(draws)) > 1e-3
    pairs = np.array(groups[:-1]) % size * size + np.array(groups[1:]) % size
    assert chance(np.bincount(pairs, minlength=size * size)) > 1e-3, "neighbouring groups draw independently"


def test_the_draws_of_a_seed_are_fixed() -> None:
    """A change here changes every video made with a seed: it must be meant."""
    assert [drawn_frame(i, seed=0, step=0, group_size=4) for i in range(0, 40, 4)] == FIXED


FIXED = [3, 7, 9, 13, 17, 22, 24, 31, 33, 38]


def test_the_clips_last_group_draws_over_the_frames_that_exist() -> None:
    draws = [drawn_frame(8, seed=seed, step=0, group_size=4, total=10) for seed in range(2000)]
    assert set(draws) == {8, 9} and chance(np.bincount(np.array(draws) - 8)) > 1e-3


def test_algorithm_1s_left_over_makes_a_shorter_group() -> None:
    length, groups = 118, 30
    size = group_size_from_groups(length, groups)
    assert size == 3
    used = np.array((draws := draw_window(0, length, steps=1, seed=5, group_size=size)).drawn)[draws.gather[0]]
    assert len(draws.drawn) == -(-length // size) == 40
    assert np.array_equal(used // size, np.arange(length) // size)


def test_group_size_1_is_no_propagation() -> None:
    draws = draw_window(7, 5, steps=3, seed=9, group_size=1)
    assert draws.drawn == (7, 8, 9, 10, 11)
    assert np.array_equal(draws.gather, np.tile(np.arange(5), (3, 1)))


def test_what_is_drawn_costs_what_the_paper_saves() -> None:
    """At m = 4 about 0.25 encodes a frame for one step and 1 - (3/4)^4 = 0.68 for four."""
    one, four = (len(draw_window(0, 4000, steps=s, seed=1, group_size=4).drawn) / 4000 for s in (1, 4))
    assert one == 0.25 and four == pytest.approx(0.684, abs=0.02)


@pytest.mark.parametrize(
    "bad",
    [
        {"first": 2, "length": 4},
        {"first": 4, "length": 0},
        {"first": 4, "length": 4, "steps": 0},
        {"first": 4, "length": 4, "group_size": 0},
        {"first": -4, "length": 4},
        {"first": 4, "length": 6, "total": 20},
        {"first": 4, "length": 8, "total": 10},
    ],
)
def test_windows_that_cut_groups_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError):
        draw_window(**{"steps": 1, "seed": 0, "group_size": 4, **bad})


def test_frames_and_groups_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError):
        drawn_frame(10, seed=0, step=0, group_size=4, total=10)
    with pytest.raises(InputError):
        drawn_frame(0, seed=0, step=-1, group_size=4)
    for length, groups in ((10, 0), (10, 11), (0, 1)):
        with pytest.raises(InputError):
            group_size_from_groups(length, groups)
