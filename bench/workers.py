"""`python -m bench workers`: throughput against the number of workers, and what it costs to work in chunks.

The same job in rounds, one setting after the other, each a process of its own from its start to the finished file, with
one engine thread a worker. A worker is a pipeline of several threads beside its engines', so one of them alone uses
more than one core: each number of workers is tried on as many cores, and one worker also on all.

With `--ray`, in their place: as many workers as cores, as processes and on a Ray of this machine, whose start and end
take seconds, however long the job.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.memory import repeat
from tpc_stream.job.frame_index import read_index

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
LEAST_RATIO = 1.5
"""Two workers on two cores against one on one."""
MOST_OVERHEAD = 0.05
"""Of CPU time at 10-second chunks, against one chunk."""
MOST_BY_RAY = 0.10
"""Of time, against as many processes."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How the job is worked on."""

    workers: int
    cores: int
    chunk_seconds: float
    ray: bool = False

    def __str__(self) -> str:
        chunks = f"chunks of {self.chunk_seconds:g} s" if self.chunk_seconds else "one chunk"
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''} on {self.cores}"
        return f"{workers}, {chunks}{', on Ray' if self.ray else ''}"


@dataclass(frozen=True, slots=True)
class Run:
    """One round of a setting."""

    frames: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def fps(self) -> float:
        return self.frames / self.wall_seconds

    @property
    def cores_used(self) -> float:
        return self.cpu_seconds / self.wall_seconds


def settings(cores: int, chunk_seconds: float) -> tuple[Setting, ...]:
    """1, 2, 4 ... workers on as many cores; one on all of them, in chunks and in one."""
    powers = [2**k for k in range(cores.bit_length()) if 2**k <= cores]
    scaling = tuple(Setting(count, count, chunk_seconds) for count in powers)
    alone = (Setting(1, cores, chunk_seconds), Setting(1, cores, 0.0))
    return (*scaling, *(setting for setting in alone if setting not in scaling))


def run_once(setting: Setting, motion: Path, out: Path, *, frames: int, cores: Sequence[int], bundle: str) -> Run:
    """The whole job, from nothing to the file. RuntimeError where it fails."""
    out.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "tpc_stream", "animate", "-r", str(ASSETS / "demo_reference.png"), "-m", str(motion),
        "-o", str(out), "--bundle", bundle, "--threads", "1", "--workers", str(setting.workers),
        "--chunk-seconds", str(setting.chunk_seconds), *(["--ray", "local"] if setting.ray else []),
    ]  # fmt: skip
    before = os.sched_getaffinity(0)
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        os.sched_setaffinity(0, set(cores[: setting.cores]))  # what is begun now, and all that it begins, keeps to them
        try:
            process = subprocess.Popen(command, stderr=said)
        finally:
            os.sched_setaffinity(0, before)
        _, code, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{said.read().decode()}")
    return Run(frames, seconds, used.ru_utime + used.ru_stime)


def describe(runs: dict[Setting, list[Run]]) -> Table:
    table = Table(title="One engine thread a worker, from the program's start to its end", title_justify="left")
    for column in ("workers on cores", "frames/s", "lowest to highest", "CPU ms a frame", "cores used"):
        table.add_column(column, justify="left" if column.startswith("workers") else "right")
    for setting, made in runs.items():
        rates = [run.fps for run in made]
        cpu = median(1e3 * run.cpu_seconds / run.frames for run in made)
        used = median(run.cores_used for run in made)
        spread = f"{min(rates):.1f} to {max(rates):.1f}"
        table.add_row(str(setting), f"{median(rates):.1f}", spread, f"{cpu:.1f}", f"{used:.2f}")
    return table


def ratio(runs: dict[Setting, list[Run]], one: Setting, other: Setting) -> float:
    """Median over the rounds of how many times faster `one` was than `other` in the same round."""
    return median(a.fps / b.fps for a, b in zip(runs[one], runs[other], strict=True))


def overhead(runs: dict[Setting, list[Run]], chunked: Setting, whole: Setting) -> float:
    """Median over the rounds of how much more CPU time the chunks took in the same round."""
    return median(a.cpu_seconds / b.cpu_seconds - 1 for a, b in zip(runs[chunked], runs[whole], strict=True))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench workers", description=__doc__.partition("\n")[0])
    parser.add_argument("--motion", type=Path, default=ASSETS / "demo_motion.mp4", help="is repeated")
    parser.add_argument("--seconds", type=float, default=40.0, help="of video")
    parser.add_argument("--chunk-seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--ray", action="store_true", help="compare Ray on this machine with as many processes")
    choices = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))
    tried = settings(len(cores), choices.chunk_seconds)
    if choices.ray:
        tried = tuple(Setting(len(cores), len(cores), choices.chunk_seconds, ray) for ray in (False, True))
    runs: dict[Setting, list[Run]] = {setting: [] for setting in tried}
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        motion = Path(folder) / "motion.mp4"
        repeat(choices.motion, motion, seconds=choices.seconds)
        frames = len(read_index(motion).ticks)
        for number in range(choices.rounds):
            for setting in tried:
                made = run_once(
                    setting, motion, Path(folder) / "out.mp4", frames=frames, cores=cores, bundle=choices.bundle
                )
                runs[setting].append(made)
                line = f"round {number + 1}, {setting}: {made.wall_seconds:.1f} s, {made.cpu_seconds:.1f} s of CPU time"
                console.print(line, highlight=False)
    if choices.ray:
        slower = ratio(runs, *tried) - 1
        console.print(f"Ray took {slower:+.1%} of time, {MOST_BY_RAY:.0%} are allowed", highlight=False)
        return 1 if slower > MOST_BY_RAY else 0
    console.print(describe(runs))
    return _judge(runs, tried, console, cores=len(cores), chunk_seconds=choices.chunk_seconds)


def _judge(
    runs: dict[Setting, list[Run]], tried: Sequence[Setting], console: Console, *, cores: int, chunk_seconds: float
) -> int:
    alone, whole = Setting(1, cores, chunk_seconds), Setting(1, cores, 0.0)
    more = overhead(runs, alone, whole)
    slower = ratio(runs, whole, alone) - 1
    failed = more > MOST_OVERHEAD
    console.print(
        f"chunks of {chunk_seconds:g} s cost {more:+.1%} of CPU time and {slower:+.1%} of time, {MOST_OVERHEAD:.0%} "
        "are allowed",
        highlight=False,
    )
    for setting in tried[1:]:
        if setting.workers > 1:
            per_core, over_one = ratio(runs, setting, tried[0]), ratio(runs, setting, alone)
            told = f"{setting.workers} workers: {per_core:.2f} times one on one core"
            if setting.workers == 2:
                failed |= per_core < LEAST_RATIO
                told += f", {LEAST_RATIO:g} are wanted"
            console.print(f"{told}; {over_one:.2f} times one on all {cores}", highlight=False)
    return 1 if failed else 0
