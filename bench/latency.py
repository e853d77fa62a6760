"""`python -m bench latency`: how fast, how late, and where the time goes; MLPerf's scenarios on frames.

    offline  frames per second, TPC on and off taking turns; the median of the rounds, since machines are noisy
    single   SingleStream: p90 from offering a chunk until its last frame is encoded
    live     a camera's pace: p99 of end to end and the misses

Set-up (opening engines, preparing the reference, compiling the search) is left out; the encoded file is real.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import results
from bench.early_stopping import samples_needed
from bench.results import Result
from bench.scenarios import live, offline, single_stream
from tpc_stream.drop_policy import POLICIES
from tpc_stream.frame import Frame
from tpc_stream.manifest import SCHEDULES
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.source import probe, read_frames

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
ALL = ("offline", "single", "live")


def warmed_up(options: AnimateOptions, reference: str, clip: list[Frame]) -> Animator:
    """An animator that has filled its windows, or its diagonal: allocators, caches and compiled code are ready."""
    animator = Animator(options)
    animator.set_reference(reference)
    for _ in animator.animate(islice(clip, animator.plan.delay_frames + animator.plan.new_frames)):
        pass
    return animator


def measure(choices: argparse.Namespace, clip: list[Frame], rate: float, folder: Path) -> list[Result]:
    """Every scenario that was asked for."""
    names = ("bundle", "backend", "threads", "steps", "schedule", "chunk", "window", "overlap", "group_size")
    common = {name: getattr(choices, name) for name in names}
    settings = {"TPC on": AnimateOptions(**common), "TPC off": AnimateOptions(**common, tpc=False)}
    made: list[Result] = []
    if "offline" in choices.scenario:
        rounds: dict[str, list[Result]] = {name: [] for name in settings}
        for _ in range(choices.rounds):
            for name, options in settings.items():
                with warmed_up(options, choices.reference, clip) as animator:
                    rounds[name].append(offline(animator, clip, folder, rate=rate, name=name))
        made += [sorted(of_one, key=lambda result: result.fps)[len(of_one) // 2] for of_one in rounds.values()]
        Console().print(_rounds(rounds, choices.rounds))
    for scenario in ("single", "live"):
        if scenario not in choices.scenario:
            continue
        with warmed_up(settings["TPC on"], choices.reference, clip) as animator:
            offer = (
                partial(single_stream, rate=rate)
                if scenario == "single"
                else partial(live, rate=choices.rate, drop=choices.drop)
            )
            made.append(offer(animator, clip, folder, max_seconds=choices.max_seconds, name="TPC on"))
    return made


def _rounds(rounds: dict[str, list[Result]], count: int) -> Table:
    table = Table(title=f"Offline: frames per second, {count} rounds in turn", title_justify="left")
    for column in ("", "median", "lowest", "highest"):
        table.add_column(column)
    rates = {name: [result.fps for result in made] for name, made in rounds.items()}
    for name, values in rates.items():
        table.add_row(name, *(f"{value:.1f}" for value in (statistics.median(values), min(values), max(values))))
    ratio = statistics.median(rates["TPC on"]) / statistics.median(rates["TPC off"])
    table.caption = f"TPC on runs at {ratio:.2f} of the rate of TPC off"
    return table


def describe(made: list[Result]) -> Table:
    """One line a scenario."""
    table = Table(title=f"Latency, milliseconds, {len(os.sched_getaffinity(0))} cores", title_justify="left")
    for column in ("scenario", "samples", "p50", "p90", "p95", "p99", "max", "frames/s", "misses"):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for result in made:
        name = f"{result.scenario}, {result.setting}" + (f", {result.rate:g}/s" if result.rate else "")
        table.add_row(
            name,
            str(result.samples),
            *(f"{value:.0f}" for value in result.latency.values()),
            f"{result.fps:.1f}",
            f"{result.misses} ({result.miss_rate:.1%})" if result.rate else "",
        )
    return table


def sentences(made: list[Result]) -> list[str]:
    """What the table cannot say: how sure each figure is, and what a frame's way is made of."""
    lines = []
    for result in made:
        of = f"{result.scenario}, {result.setting}"
        if result.scenario != "offline":
            percent = f"p{100 * result.percentile:g}"
            sure = (
                f"with 99 % confidence at most {result.bound_ms:.0f} ms"
                if result.bound_ms is not None
                else f"{samples_needed(result.percentile)} samples are needed to bound it"
            )
            lines.append(f"{of}: {percent} {result.value_ms:.0f} ms, {sure} ({result.samples} samples)")
        lines.append(f"{of}: mean of a frame = " + " + ".join(f"{ms:.1f} {part}" for part, ms in result.parts.items()))
    return lines


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench latency", description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", default=str(ASSETS / "demo_motion.mp4"))
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--backend", default="onnxrt")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--schedule", choices=SCHEDULES, default="window")
    for name in ("--chunk", "--window", "--overlap", "--group-size"):
        parser.add_argument(name, type=int, default=None)
    parser.add_argument("--drop", choices=POLICIES, default="latest", help="of the live scenario")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="of offline, in turn")
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second of the live scenario")
    parser.add_argument("--max-seconds", type=float, default=60.0, help="of single and live, once there are 64 samples")
    parser.add_argument("--json", type=Path, default=None, help="also write the results there")
    parser.add_argument("--against", type=Path, default=None, help="an older result file to compare with")
    choices = parser.parse_args(argv)
    console = Console()
    older = None
    if choices.against is not None:
        try:
            older = results.read(choices.against)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    rate = float(probe(choices.motion).rate or 25)
    clip = list(read_frames(choices.motion, max_frames=250))
    with tempfile.TemporaryDirectory() as folder:
        made = measure(choices, clip, rate, Path(folder))
    facts = results.environment(
        bundle=choices.bundle, steps=choices.steps, threads=choices.threads, schedule=choices.schedule,
        chunk=choices.chunk,
    )  # fmt: skip
    console.print(describe(made))
    for line in sentences(made):
        console.print(line, highlight=False, markup=False)
    console.print(f"environment {facts['fingerprint']}: {facts['cpu']}, {facts['cores']} cores", highlight=False)
    if older is not None:
        console.print(results.compare(made, older[0]))
        for line in results.differences(facts, older[1]):
            console.print(f"not the same environment: {line}", style="yellow", highlight=False, markup=False)
    if choices.json is not None:
        results.write(choices.json, made, facts)
    return 0
