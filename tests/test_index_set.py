"""Sets of frame indices: exact, small, and told as ranges."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpc_stream.errors import InputError
from tpc_stream.reading.index_set import IndexSet


@given(st.lists(st.integers(0, 300)))
def test_it_is_a_set(indices: list[int]) -> None:
    made = IndexSet()
    for index in indices:
        made.add(index)
    assert list(made) == sorted(set(indices)) and len(made) == len(set(indices))
    assert [k for k in range(-3, 320) if k in made] == sorted(set(indices))
    assert [k for first, last in made.ranges() for k in range(first, last + 1)] == sorted(set(indices))


def test_neighbours_are_one_range() -> None:
    made = IndexSet()
    for index in (7, 8, 9, 64, 3):
        made.add(index)
    assert made.ranges() == [(3, 3), (7, 9), (64, 64)]
    with pytest.raises(InputError, match="got index = -1"):
        made.add(-1)


def test_an_hour_of_scattered_drops_stays_small() -> None:
    made = IndexSet()
    for index in range(0, 60 * 60 * 60, 2):
        made.add(index)
    assert len(made) == 108_000
    assert sys.getsizeof(made._bits) < 40_000
