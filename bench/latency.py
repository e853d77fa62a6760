"""`python -m bench latency`: frames per second and where the time goes, stage by stage, TPC on and off in one run.

Set-up (opening engines, preparing the reference, compiling the search) is left out; the encoded file is real. The
settings take turns and the median of the rounds is printed, since machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tpc_stream.frame import Frame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler
from tpc_stream.recording.session import Session
from tpc_stream.report import render_table
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import probe

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the result."""

    name: str
    options: AnimateOptions


def measure(setting: Setting, *, reference: str, motion: str, folder: Path) -> Session:
    """Animates the whole motion once, from decoding to encoding."""
    with Animator(setting.options) as animator:
        animator.set_reference(reference)
        _warm_up(animator, motion)
        profiler = animator.profiler = Profiler()
        rate = probe(motion).rate
        config = SinkConfig(frame_rate=rate) if rate else SinkConfig()
        frames = animator.animate(motion)
        profiler.start()
        writing = partial(write_video, path=folder / "bench.mp4", config=config)
        for frame in profiler.stage("encode", writing, frames):
            profiler.frame_done(frame.index, frame.captured_seconds)
        return profiler.session(fps=float(rate) if rate else None)


def _warm_up(animator: Animator, motion: str) -> None:
    """One window, so that allocators, caches and compiled code are ready."""
    from itertools import islice

    from tpc_stream.source import read_frames

    few: list[Frame] = list(islice(read_frames(motion), animator.plan.denoise.window))
    for _ in animator.animate(few):
        pass


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench latency", description=__doc__)
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", default=str(ASSETS / "demo_motion.mp4"))
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures there")
    choices = parser.parse_args(argv)
    console = Console()
    common = {"bundle": choices.bundle, "steps": choices.steps, "threads": choices.threads}
    settings = [
        Setting("TPC on", AnimateOptions(**common)),
        Setting("TPC off", AnimateOptions(**common, tpc=False)),
    ]
    sessions: dict[str, list[Session]] = {setting.name: [] for setting in settings}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(choices.rounds):
            for setting in settings:
                session = measure(setting, reference=choices.reference, motion=choices.motion, folder=Path(folder))
                sessions[setting.name].append(session)
    best = sorted(sessions["TPC on"], key=lambda session: session.fps)[len(sessions["TPC on"]) // 2]
    console.print(render_table(best))
    table = Table(title=f"Frames per second, {len(os.sched_getaffinity(0))} cores, {choices.rounds} rounds in turn")
    for column in ("", "median", "lowest", "highest"):
        table.add_column(column)
    rates = {name: [session.fps for session in made] for name, made in sessions.items()}
    for name, values in rates.items():
        table.add_row(name, *(f"{value:.1f}" for value in (statistics.median(values), min(values), max(values))))
    console.print(table)
    ratio = statistics.median(rates["TPC on"]) / statistics.median(rates["TPC off"])
    console.print(f"TPC on runs at {ratio:.2f} of the rate of TPC off")
    if choices.json is not None:
        data = {
            "frames_per_second": rates,
            "sessions": {k: [json.loads(s.to_json()) for s in v] for k, v in sessions.items()},
        }
        choices.json.write_text(json.dumps(data), encoding="utf-8")
    return 0
