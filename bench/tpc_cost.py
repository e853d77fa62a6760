"""`python -m bench tpc_cost`: what calibration costs a frame (the paper's Table 3).

The demo's frames with poses found beforehand, from calibration to decoded pictures. The settings take turns; told are
medians of the rounds: wall time, and processor time of all threads, which other work on the machine disturbs less.
The pipeline searches the transforms also where they are not used, for its report; so the search's time is taken off the
processor time of "no TPC". It has a thread of its own, and wall times are told as they are.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.quality.figures import Figure
from bench.quality.plots import draw_rows, write_csv
from bench.seams import ASSETS, Clip
from tpc_stream.calibrate import calibrate
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator


def settings(options: AnimateOptions) -> dict[str, AnimateOptions]:
    """What takes turns; the first is what the others are compared with."""
    return {
        "no TPC": replace(options, tpc=False),
        "TPC, groups of 4": replace(options, group_size=4),
        "TPC, no IP": replace(options, group_size=1),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench tpc_cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-frames", type=int, default=120)
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", default=str(ASSETS / "demo_motion.mp4"))
    parser.add_argument("--out", type=Path, default=Path("docs/quality"))
    choices = parser.parse_args(argv)
    options, console = AnimateOptions(bundle=choices.bundle, threads=choices.threads), Console()
    with Animator(options) as animator:
        portrait = animator.set_reference(choices.reference)
        clip = Clip(choices.motion, canvas=animator.plan.canvas, max_frames=choices.max_frames)
    wall: dict[str, list[float]] = defaultdict(list)
    used: dict[str, list[float]] = defaultdict(list)
    for number in range(choices.rounds + 1):
        for name, own in settings(options).items():
            with Animator(own, pose_stage=clip.poses) as animator:
                animator.portrait = portrait
                began, before = time.perf_counter(), time.process_time()
                frames = list(animator.animate(clip.frames))
                if number:  # the first round fills caches
                    wall[name].append((time.perf_counter() - began) / len(frames) * 1e3)
                    used[name].append((time.process_time() - before) / len(frames) * 1e3)
    posed = list(clip.poses(clip.frames))
    before = time.thread_time()
    found = sum(1 for _ in calibrate(posed, portrait))
    searched = (time.thread_time() - before) / found * 1e3
    used["no TPC"] = [value - searched for value in used["no TPC"]]
    rows: list[list[object]] = []
    medians = {name: (statistics.median(wall[name]), statistics.median(used[name])) for name in wall}
    base = medians["no TPC"]
    for name, (walls, processor) in medians.items():
        rows.append([name, walls, min(wall[name]), max(wall[name]), processor, walls / base[0], processor / base[1]])
        console.print(
            f"{name:18} {walls:6.1f} ms a frame ({min(wall[name]):.1f} to {max(wall[name]):.1f}), "
            f"processor {processor:6.1f} ms; times those of no TPC: {walls / base[0]:.2f}, {processor / base[1]:.2f}",
            highlight=False,
        )
    console.print(f"of the processor's: the search {searched:.1f} ms", highlight=False)
    rows.append(["the search", "", "", "", searched, "", searched / base[1]])
    header = ["", "wall ms", "least", "most", "processor ms", "wall ratio", "processor ratio"]
    write_csv(choices.out / "tpc_cost.csv", header, rows)
    panels: dict[str, list[Figure | None]] = {
        "wall, ms a frame; least to most of the rounds": [
            Figure(medians[name][0], min(wall[name]), max(wall[name])) for name in medians
        ],
        "processor, ms a frame": [Figure(medians[name][1], min(used[name]), max(used[name])) for name in medians],
    }
    draw_rows(choices.out / "tpc_cost.png", list(medians), panels)
    return 0
