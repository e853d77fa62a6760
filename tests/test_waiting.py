"""Who makes which chunk: stretches that stay together, and work for all to the end."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_crew import chunks_of
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.waiting import Waiting

CHUNKS = chunks_of(range(48), chunk_frames=4, warm_up_seconds=Fraction(0))


def taken(waiting: Waiting, *, after: int | None = None, others: tuple[int, ...] = ()) -> tuple[int, int]:
    found = waiting.take(after=after, others=others)
    assert found is not None
    return found.chunk.number, found.onward


def test_two_workers_go_on_each_in_its_half() -> None:
    waiting = Waiting(CHUNKS)
    assert taken(waiting) == (0, 11)
    assert taken(waiting, others=(0,)) == (6, 5)
    assert taken(waiting, after=0, others=(6,)) == (1, 4)
    assert taken(waiting, after=6, others=(1,)) == (7, 4)


def test_who_comes_to_the_end_of_a_stretch_takes_half_of_the_longest() -> None:
    waiting = Waiting(CHUNKS[2:3] + CHUNKS[6:12])
    assert taken(waiting, after=1, others=(5,)) == (2, 0)
    assert taken(waiting, after=2, others=(5,)) == (9, 2)
    assert taken(waiting, after=5, others=(9,)) == (6, 2)


def test_a_lost_chunk_comes_back_in_its_place() -> None:
    waiting = Waiting(CHUNKS[:1] + CHUNKS[2:4])
    waiting.back(CHUNKS[1])
    assert [taken(waiting, after=k - 1 if k else None) for k in range(4)] == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert waiting.take(after=3, others=()) is None and not len(waiting)


def test_what_broke_its_worker_is_made_by_itself() -> None:
    """Or a worker would die over it while it makes the chunk before, and that one would be blamed."""
    waiting = Waiting(CHUNKS[4:8])
    assert taken(waiting, after=3) == (4, 3)
    waiting.back(CHUNKS[4], apart=True)
    assert [taken(waiting, after=k - 1) for k in range(4, 8)] == [(4, 0), (5, 2), (6, 1), (7, 0)]
    for k in (4, 5, 6, 7):
        waiting.back(CHUNKS[k], apart=k == 6)
    assert [taken(waiting, after=k - 1) for k in range(4, 8)] == [(4, 0), (5, 0), (6, 0), (7, 0)]
    for k in (4, 5, 6, 7):
        waiting.back(CHUNKS[k])
    assert sorted(len(waiting.stretch(tasks=1)) for _ in range(4)) == [1, 1, 1, 1]


def test_no_task_gets_so_many_that_nobody_could_help() -> None:
    many = chunks_of(range(48), chunk_frames=1, stride_frames=1, overlap_frames=0, warm_up_seconds=Fraction(0))
    assert len(many) == 48 and len(Waiting(many).stretch(tasks=1)) == 8
    assert len(Waiting(many).stretch(tasks=48)) == 1


def test_tasks_get_long_stretches_first_and_single_chunks_at_the_end() -> None:
    waiting, lengths = Waiting(CHUNKS), list[int]()
    while stretch := waiting.stretch(tasks=2):
        numbers = [chunk.number for chunk in stretch]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        lengths.append(len(stretch))
    assert lengths == [3, 2, 1, 1, 1, 1, 1, 1, 1] and not len(waiting)


@given(st.sets(st.integers(0, 11)), st.lists(st.integers(0, 3), min_size=12, max_size=40), st.integers(1, 4))
def test_each_chunk_is_made_once_whoever_asks(missing: set[int], askers: list[int], workers: int) -> None:
    waiting, made, last = Waiting(CHUNKS[k] for k in missing), Counter[int](), dict[int, int]()
    at = dict[int, int]()
    for asker in (number % workers for number in askers):
        others = {chunk for worker, chunk in at.items() if worker != asker}
        found = waiting.take(after=last.get(asker), others=others)
        if found is None:
            at.pop(asker, None)
            continue
        last[asker] = at[asker] = found.chunk.number
        made[found.chunk.number] += 1
        assert set(range(last[asker] + 1, last[asker] + 1 + found.onward)) <= missing
    assert all(count == 1 for count in made.values()) and len(made) + len(waiting) == len(missing)


@pytest.mark.parametrize(("chunks", "onward", "expected"), [((0, 1, 2), 0, [2, 1, 0]), ((0, 1, 5), 3, [1, 0, 3])])
def test_a_chunk_is_made_with_those_in_view_that_follow(
    chunks: tuple[int, ...], onward: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tpc_stream.job import alone

    class Noting:
        def __init__(self) -> None:
            self.told: list[int] = []

        def make(self, chunk: JobChunk, path: object, *, onward: int) -> object:
            self.told.append(onward)
            return (k for k in range(len(chunk.frames)))

        def part(self, number: int) -> None: ...

        def finish(self, number: int, **of: object) -> None: ...

    noting = Noting()
    list(alone.make_alone(noting, noting, [CHUNKS[k] for k in chunks], onward=onward))  # type: ignore[arg-type]
    assert noting.told == expected
