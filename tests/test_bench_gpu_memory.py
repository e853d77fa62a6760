"""Peak memory of the GPU benchmark, on a made-up card with a made-up clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench.gpu import memory_watch
from bench.gpu.memory_watch import EVERY_SECONDS, Reading, Times, peak_gb, read_readings, watch
from bench.gpu.rows import Row, append, as_json, read

GB = 10**9


class Clock:
    """Goes on when it is slept by."""

    def __init__(self, now: float = 100.0) -> None:
        self.now, self.slept = now, 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds == EVERY_SECONDS
        self.now += seconds
        self.slept += 1


def watched(seconds: float, *changes: tuple[float, int]) -> tuple[list[Reading], Clock]:
    """What a watcher saw of a card whose use changes at these times (GB, from a second on)."""
    clock = Clock()

    def used() -> int:
        return [GB * gb for at, gb in changes if at <= clock.now][-1]

    return list(watch(used, seconds=seconds, clock=clock, sleep=clock.sleep)), clock


def test_every_change_is_seen_and_quiet_seconds_too() -> None:
    readings, clock = watched(2.5, (0, 1), (100.5, 4), (100.51, 2))
    assert [reading.used_bytes // GB for reading in readings] == [1, 4, 2, 2]
    assert [round(reading.seconds - 100, 2) for reading in readings] == [0, 0.5, 0.51, 1.51]
    assert clock.slept == pytest.approx(2.5 / 0.002, abs=2)


def test_the_peak_is_what_was_held_for_a_moment_and_not_what_others_held_before() -> None:
    # another process holds 1 GB; ours takes a context, weights, and for 10 ms a workspace of 5 GB
    readings, _ = watched(20, (0, 1), (102, 2), (103, 3), (110, 8), (110.01, 4))
    first = Times(process=101, begun=105, ended=109)
    assert peak_gb(readings, first) == 2.0, "the weights that lay there already, and the context"
    assert peak_gb(readings, Times(101, 105.2, 105.3)) == 2.0, "nothing was written in so short a time"
    assert peak_gb(readings, Times(101, 109, 112)) == 7.0
    assert peak_gb(readings, Times(101, 112, 115)) == 3.0, "a peak of the row before is not this one's"


def test_without_a_watcher_there_is_no_peak() -> None:
    times = Times(process=101, begun=105, ended=109)
    assert peak_gb([], times) is None
    late = [Reading(102, 0), Reading(110, 5)]
    assert peak_gb(late, times) is None, "nobody knows what was in use before"
    died = [Reading(100, 0), Reading(106, 5)]
    assert peak_gb(died, times) is None, "a watcher writes every second"
    assert peak_gb([*died, Reading(108.5, 5)], times) == 5e-9


def test_rows_carry_their_times_to_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = Row(kind="pass", backend="b", times=Times(101, 105, 109))
    append(path, row)
    (found,) = read(path)
    assert found == row
    peaked = found.with_peak([Reading(100, GB), Reading(106, 3 * GB), Reading(108, GB)])
    assert as_json([peaked]) == [{"kind": "pass", "backend": "b", "peak_gb": 2.0}]
    assert as_json([found.with_peak([])]) == [{"kind": "pass", "backend": "b"}], "on a CPU nobody watches"


def test_what_the_process_writes_is_read_as_far_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def free_and_total() -> Iterator[tuple[int, int]]:
        yield 70 * GB, 80 * GB
        while True:
            yield 50 * GB, 80 * GB

    told, clock = free_and_total(), Clock()
    monkeypatch.setattr(memory_watch, "time", SimpleNamespace(monotonic=clock, sleep=clock.sleep))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: next(told))
    path = tmp_path / "memory.txt"
    assert memory_watch.main([str(path), "0.02"]) == 0
    assert [reading.used_bytes for reading in read_readings(path)] == [10 * GB, 30 * GB]
    with path.open("a") as file:
        file.write("200.0 40000")
    assert len(read_readings(path)) == 2
    assert read_readings(tmp_path / "none") == []
