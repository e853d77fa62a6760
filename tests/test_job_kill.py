"""kill -9 at random moments, and workers: the output is the same in every bit, and nothing is left behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.kills import gone
from tests.made_job import same

KILLS = int(os.environ.get("TPC_KILLS", "4"))


def command(tiny: Path, reference: Path, motion: Path, out: Path, *more: object) -> list[str]:
    return [
        sys.executable, "-m", "tpc_stream", "animate", "-r", str(reference), "-m", str(motion), "-o", str(out),
        "--bundle", str(tiny), "--size", "128x128", "--threads", "1", "--chunk-seconds", "0.64", *map(str, more),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tiny: Path, reference: Path, motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo in one process, never killed."""
    out = tmp_path_factory.mktemp("whole") / "out.mp4"
    subprocess.run(command(tiny, reference, motion, out), check=True, capture_output=True)
    return out


@pytest.mark.slow
def test_two_workers_give_the_same(tiny: Path, reference: Path, motion: Path, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "out.mp4"
    subprocess.run(command(tiny, reference, motion, out, "--workers", 2), check=True, capture_output=True)
    assert same(out, whole) and list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_and_resumed(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, whole: Path, workers: int
) -> None:
    seed = int(os.environ.get("TPC_KILL_SEED", time.time_ns() % 10**6))
    print(f"TPC_KILL_SEED={seed}")
    moments = random.Random(seed)
    out, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.tpc"
    call = command(tiny, reference, motion, out, "--workers", workers)
    killed = 0
    while killed < KILLS:
        before = finished(folder)
        process = subprocess.Popen(call, stderr=subprocess.PIPE, start_new_session=True)
        began = time.monotonic()
        while not finished(folder) - before and process.poll() is None and time.monotonic() - began < 60:
            time.sleep(0.02)  # so that each attempt comes as far as its chunks
        time.sleep(moments.uniform(0.0, 0.6))
        if process.poll() is not None:
            break  # it was done before it could be killed
        process.kill()
        process.communicate()
        killed += 1
        assert before <= finished(folder)
        assert gone(process.pid), "a worker outlived its job"
    assert killed >= min(KILLS, 3)
    subprocess.run(call, check=True, capture_output=True)
    assert same(out, whole) and list(tmp_path.iterdir()) == [out]


def finished(folder: Path) -> set[tuple[str, int]]:
    """The finished chunks, each with when that was: one that is made again shows."""
    return {(path.name, path.stat().st_mtime_ns) for path in folder.glob("chunk_*.json")}
