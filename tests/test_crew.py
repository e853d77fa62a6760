"""Workers that die and are replaced: with a worker that makes text files, so that only the crew is tried."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.frail_worker import frail_work
from tests.made_job import made
from tpc_stream.errors import EngineError, InputError, SinkError
from tpc_stream.job.crew import make_together
from tpc_stream.job.cutting import CutConfig, JobChunk, cut
from tpc_stream.job.events import ChunkRetried, Event
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.frame_index import FrameIndex
from tpc_stream.job.run_job import JobConfig

INDEX = FrameIndex(tuple(range(48)), Fraction(1, 25), "")


CUT = CutConfig(chunk_frames=16, stride_frames=4, overlap_frames=4, warm_up_seconds=Fraction(1, 5))


def chunks_of(frames: range, **ours: Any) -> tuple[JobChunk, ...]:
    return cut(INDEX, frames, config=replace(CUT, **ours))


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made_folder = JobFolder(tmp_path / "out.mp4.tpc")
    made_folder.path.mkdir()
    return made_folder


def run(folder: JobFolder, *, deaths: int, retries: int = 2, workers: int = 2) -> list[Event]:
    (folder.path / "deaths").write_text(str(deaths))
    chunks = chunks_of(range(48), chunk_frames=12)
    return list(make_together(folder, chunks, workers=workers, threads=1, retries=retries, work=frail_work))


def test_a_chunk_whose_worker_dies_is_made_again(folder: JobFolder) -> None:
    events = run(folder, deaths=2)
    retried = [event for event in events if isinstance(event, ChunkRetried)]
    assert [(event.chunk, event.attempt) for event in retried] == [(1, 2), (1, 3)]
    assert "killed by signal 9" in retried[0].reason
    assert sorted(made(events)) == [0, 1, 2, 3] and all(folder.whole(number) for number in range(4))


def test_after_so_many_times_the_chunk_is_named_and_the_rest_kept(folder: JobFolder) -> None:
    with pytest.raises(EngineError, match="chunk 1 could not be made, 2 times: its worker was killed by signal 9"):
        run(folder, deaths=9, retries=1)
    assert folder.whole(0) and not folder.whole(1)


def test_the_chunk_that_kills_is_named_and_not_the_one_before(folder: JobFolder) -> None:
    """Work on it begins before that one is finished."""
    (folder.path / "poison").write_text("2")
    with pytest.raises(EngineError, match="chunk 2 could not be made, 2 times"):
        run(folder, deaths=0, retries=1, workers=1)
    assert folder.whole(0) and folder.whole(1) and not folder.whole(2)


def test_an_error_that_would_come_again_is_raised_at_once(folder: JobFolder) -> None:
    with pytest.raises(SinkError, match="chunk 1: the disk is full"):
        run(folder, deaths=-1)
    assert (folder.path / "deaths").read_text() == "-1"


def test_chunks_begin_at_windows_and_take_what_they_need() -> None:
    first, middle, last = chunks_of(range(40))
    assert [list(c.frames)[:: len(c.frames) - 1] for c in (first, middle, last)] == [[0, 15], [16, 31], [32, 39]]
    assert (first.denoised, middle.denoised, last.denoised) == (range(20), range(12, 36), range(28, 40))
    assert (first.read, middle.read, last.read) == (range(20), range(7, 36), range(23, 40))
    assert middle.start_seconds == Fraction(7, 25)


def test_without_overlap_nothing_is_denoised_twice() -> None:
    chunks = chunks_of(range(40), overlap_frames=0, warm_up_seconds=Fraction(0), frames_before=2, frames_after=1)
    assert [c.denoised for c in chunks] == [c.frames for c in chunks]
    assert [c.read for c in chunks] == [range(17), range(14, 33), range(30, 40)]


def test_a_range_has_indices_of_its_own_and_times_of_the_source() -> None:
    chunks = chunks_of(range(10, 34))
    assert [c.frames for c in chunks] == [range(16), range(16, 24)]
    assert chunks[1].read.start == 7 and chunks[1].start_seconds == Fraction(17, 25)


def test_lengths_are_whole_strides_and_0_is_all_in_one() -> None:
    assert [len(c.frames) for c in chunks_of(range(40), chunk_frames=1)] == [4] * 10
    assert [len(c.frames) for c in chunks_of(range(40), chunk_frames=0)] == [40]
    with pytest.raises(InputError, match="stride of 1 frame or more"):
        chunks_of(range(40), stride_frames=0)


def test_less_than_half_a_chunk_goes_to_the_one_before() -> None:
    assert [len(c.frames) for c in chunks_of(range(40))] == [16, 16, 8]
    assert [len(c.frames) for c in chunks_of(range(39))] == [16, 23]
    assert [len(c.frames) for c in chunks_of(range(7))] == [7]


def test_engines_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert JobConfig(workers=3).threads(0) == 2 and JobConfig(workers=3).threads(5) == 5
    assert JobConfig(workers=1).threads(0) == 0 and JobConfig(workers=20).threads(0) == 1
    with pytest.raises(InputError, match="workers are 1 or more"):
        JobConfig(workers=0)
