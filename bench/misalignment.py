"""`python -m bench misalignment`: person PSNR against the reference's angle and scale (the paper's Fig. 1b and 9).

The frames stay; the reference's person is drawn turned or scaled before the same background. Without and with
calibration, and the same reference copied unchanged as a floor.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.quality.command import add_common
from bench.quality.figures import Figure
from bench.quality.plots import draw_curves, write_csv
from bench.quality.rendered import Placement, Workshop
from bench.quality.runs import Runner, score
from tpc_stream.options import AnimateOptions

ANGLES = (-180, -150, -120, -90, -60, -30, 0, 30, 60, 90, 120, 150, 180)
SCALES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
CURVES = ("reference copied", "no TPC", "TPC")
GAIN = "TPC less no TPC"


def placements() -> Sequence[Placement]:
    """Every angle and every scale; neither is drawn twice."""
    turned = tuple(Placement(f"angle {a}", 1.0, float(a)) for a in ANGLES)
    return *turned, *(Placement(f"scale {s}", s, 0.0) for s in SCALES if s != 1.0)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench misalignment", description=__doc__.partition("\n")[0])
    add_common(parser)
    parser.add_argument("--people", type=int, default=10, help="clips, each of another person under another seed")
    parser.add_argument("--frames", type=int, default=3, help="of a clip")
    parser.add_argument("--out", type=Path, default=Path("docs/quality"))
    choices = parser.parse_args(argv)
    options = AnimateOptions(bundle=choices.bundle, threads=choices.threads)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    console = Console()
    with Runner(replace(options, tpc=False)) as off, Runner(options) as on:
        workshop = Workshop(on.sizes, clips=choices.clips)
        for seed in range(choices.first_seed, choices.first_seed + choices.people):
            made = workshop.clips(seed=seed, count=1, frames=choices.frames, placements=lambda *_: placements())
            for clip in made:
                for case in clip.cases:
                    copied = np.stack([on.sizes.shown(case.portrait.image)] * len(clip.frames))
                    shown = copied, off.run(clip, case), on.run(clip, case)
                    for name, pictures in zip(CURVES, shown, strict=True):
                        found = score(clip, pictures, names=("person PSNR",)).frames["person PSNR"]
                        values[case.name, name].append(float(found.mean()))
                    values[case.name, GAIN].append(values[case.name, "TPC"][-1] - values[case.name, "no TPC"][-1])
            console.print(f"seed {seed} done", style="dim")
    panels, rows = {}, []
    for title, kind, xs in (("angle, degrees", "angle", ANGLES), ("scale", "scale", SCALES)):
        names = [f"angle {0}" if (kind, x) == ("scale", 1.0) else f"{kind} {x}" for x in xs]
        curves = {curve: [Figure.of(values[name, curve]) for name in names] for curve in CURVES}
        gains = [Figure.of(values[name, GAIN]) for name in names]
        panels[title] = ([float(x) for x in xs], curves)
        for k, x in enumerate(xs):
            figures = [*(curves[curve][k] for curve in CURVES), gains[k]]
            rows.append([kind, x, *(v for f in figures for v in (f.mean, f.low, f.high))])
            console.print(
                f"{kind} {x}: " + ", ".join(f"{c} {f}" for c, f in zip((*CURVES, GAIN), figures, strict=True))
            )
    header = ["kind", "value", *(f"{c} {end}" for c in (*CURVES, GAIN) for end in ("mean", "low", "high"))]
    write_csv(choices.out / "misalignment.csv", header, rows)
    draw_curves(choices.out / "misalignment.png", panels, label="person PSNR, dB")
    return 0
