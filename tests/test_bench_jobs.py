"""What the benchmarks of long videos count, and that they see what is wrong; the runs themselves are slow."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cuts import cut_ratios
from bench.hour import Hour, animate, make_input
from bench.kills import Kills, _count, command, digest, killed
from bench.workers import Run, Setting, overhead, ratio, settings


def told(*events: tuple[str, int]) -> str:
    return "".join(json.dumps({"event": name, "chunk": chunk}) + "\n" for name, chunk in events)


def test_a_kill_may_cost_the_chunk_that_was_worked_on() -> None:
    found = Kills()
    _count(found, told(("frames", 0), ("chunk", 0), ("frames", 1)) + '{"event": "fra', was_killed=True)
    _count(found, told(("frames", 1), ("chunk", 1), ("frames", 2), ("frames", 3)), was_killed=True)
    assert (found.begun, found.most_begun, found.redone) == (3, 2, [])
    assert found.failures(workers=2) == []
    assert found.failures(workers=1) == ["a kill cost 2 chunks, 1 at most are worked on"]
    _count(found, told(("frames", 0)), was_killed=False)
    found.left = ["out.mp4.tpc"]
    assert found.failures(workers=2) == ["chunk 0 was finished and made again", "left behind: out.mp4.tpc"]


def test_as_many_cores_as_workers_and_one_worker_on_all() -> None:
    two = [str(setting) for setting in settings(2, 10.0)]
    assert two == [
        "1 worker on 1, chunks of 10 s", "2 workers on 2, chunks of 10 s", "1 worker on 2, chunks of 10 s",
        "1 worker on 2, one chunk",
    ]  # fmt: skip
    assert [setting.workers for setting in settings(6, 10.0)] == [1, 2, 4, 1, 1]
    one, other = Setting(1, 1, 10.0), Setting(2, 2, 10.0)
    runs = {one: [Run(100, 10.0, 10.0), Run(100, 20.0, 11.0)], other: [Run(100, 5.0, 11.0), Run(100, 16.0, 12.1)]}
    assert ratio(runs, other, one) == pytest.approx((2.0 + 1.25) / 2)
    assert overhead(runs, other, one) == pytest.approx(0.1)


def test_a_cut_is_held_against_the_same_step_without_one() -> None:
    whole = np.array([2.0, 4.0, 2.0, 0.01, 2.0, 2.0])
    at, inside = cut_ratios(whole * [1.1, 1.1, 1.65, 5.0, 1.1, 1.1], whole, [3, 4])
    assert at == pytest.approx([1.5]) and inside == pytest.approx([1.0] * 4)  # frame 4 stands still
    with pytest.raises(ValueError, match="as many frames"):
        cut_ratios(whole[1:], whole, [3])


def test_an_hour_that_is_not_as_it_must_be_is_told() -> None:
    good = Hour(
        frames=10, expected=10, chunks=1, picture_off_seconds=0.0, sound_off_seconds=0.03, mb_per_1000=0.0,
        resident=(1.0,), seconds=1.0,
    )  # fmt: skip
    assert good.failures() == []
    failures = replace(good, frames=9, picture_off_seconds=0.01, mb_per_1000=0.2).failures()
    assert [failure.split()[0] for failure in failures] == ["9", "sound", "memory"]


@pytest.mark.slow
def test_half_a_minute_of_the_hour(tmp_path: Path, tiny: Path) -> None:
    frames = make_input(tmp_path / "in.mp4", seconds=30)
    made = animate(tmp_path / "in.mp4", tmp_path / "out.mp4", frames=frames, bundle=str(tiny), chunk_seconds=5.0)
    assert made.frames == frames == 899 and made.chunks == 6
    assert made.picture_off_seconds == 0 and made.sound_off_seconds == 0


@pytest.mark.slow
def test_a_few_kills(tmp_path: Path, tiny: Path, motion: Path) -> None:
    out = tmp_path / "out" / "out.mp4"
    out.parent.mkdir()
    call = command(motion, out, bundle=str(tiny), workers=2, chunk_seconds=1.0)
    found = killed(call, tmp_path, kills=4, seconds=8.0, moments=random.Random(1))
    assert found.failures(workers=2) == [] and digest(out)[0] == 125
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"], sys.executable
