"""`python -m bench transforms`: linear, affine and procrustes, and groups of 1 to 8 frames (the paper's Table 2).

On misaligned references alone. Group size 1 is Iterative Propagation off. The seam ratio is the change of the picture
at a group's border over that inside groups, both divided by the change that the run without groups has there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.quality.command import add_common
from bench.quality.figures import Entry, Figure, entry
from bench.quality.plots import draw_rows, write_csv
from bench.quality.rendered import Workshop
from bench.quality.runs import Runner, score
from bench.seams import differences, seams
from tpc_stream.options import AnimateOptions

GROUPS = (1, 2, 3, 4, 5, 6, 7, 8)
SINGLE = "procrustes, no IP"
METRICS = ("person PSNR", "PSNR", "SSIM")
PANELS = {"gain": "gain over no TPC, dB", "flicker": "flicker, levels", "seam ratio": "seam ratio"}
COLUMNS = (*METRICS, "flicker", "difference error", "seam ratio", "gain", "against no IP")


def variants(options: AnimateOptions, window: int) -> Mapping[str, AnimateOptions]:
    """By name. Windows are whole groups, at most the bundle's own window long, or one group."""
    out = {"no TPC": replace(options, tpc=False)}
    for kind in ("linear", "affine"):
        out[f"{kind}, no IP"] = replace(options, transform=kind, group_size=1)
    for size in GROUPS:
        name = SINGLE if size == 1 else f"procrustes, groups of {size}"
        length = max(window // size, 1) * size
        out[name] = replace(options, group_size=size, window=length, overlap=0)
    return out


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench transforms", description=__doc__.partition("\n")[0])
    add_common(parser)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--clips-per-seed", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
    parser.add_argument("--out", type=Path, default=Path("docs/quality"))
    choices = parser.parse_args(argv)
    options, console = AnimateOptions(bundle=choices.bundle, threads=choices.threads), Console()
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    with Runner(options) as first:
        sizes, window = first.sizes, first.plan.denoise.window
    workshop = Workshop(sizes, clips=choices.clips)
    made = variants(options, window)
    for seed in range(choices.first_seed, choices.first_seed + choices.seeds):
        of_seed: dict[tuple[str, str], list[float]] = defaultdict(list)
        with ExitStack() as opened:
            runners = {n: opened.enter_context(Runner(replace(o, seed=seed))) for n, o in made.items()}
            for clip in workshop.clips(seed=seed, count=choices.clips_per_seed, frames=choices.frames):
                case = next(c for c in clip.cases if c.name != "aligned")
                pictures = {name: runner.run(clip, case) for name, runner in runners.items()}
                for name, shown in pictures.items():
                    found = score(clip, shown, names=METRICS)
                    for metric, column in (*found.frames.items(), *found.steps.items()):
                        of_seed[name, metric].append(float(np.nanmean(column)))
                    size = made[name].group_size
                    if made[name].tpc and size is not None and size > 1:
                        ratio = _seam_ratio(shown, pictures[SINGLE], size)
                        of_seed[name, "seam ratio"].append(ratio)
        for key, column in of_seed.items():
            values[key].append(float(np.nanmean(column)))
        for name in made:
            own = values[name, "person PSNR"][-1]
            values[name, "gain"].append(own - values["no TPC", "person PSNR"][-1])
            values[name, "against no IP"].append(own - values[SINGLE, "person PSNR"][-1])
        console.print(f"seed {seed} done", style="dim")
    rows = []
    drawn: dict[str, list[Figure | None]] = {title: [] for title in PANELS.values()}
    for name in made:
        entries: dict[str, Entry] = {column: entry(values.get((name, column), [])) for column in COLUMNS}
        console.print(f"{name:26}" + ", ".join(f"{c} {e}" for c, e in entries.items()), highlight=False)
        cells: list[object] = [name]
        for e in entries.values():
            cells += ["", "", ""] if isinstance(e, str) else [e.mean, e.low, e.high]
        rows.append(cells)
        for column, title in PANELS.items():
            found = entries[column]
            drawn[title].append(found if isinstance(found, Figure) else None)
    write_csv(
        choices.out / "transforms.csv", ["", *(f"{c} {e}" for c in COLUMNS for e in ("mean", "low", "high"))], rows
    )
    draw_rows(choices.out / "transforms.png", list(made), drawn)
    return 0


def _seam_ratio(shown: NDArray[np.uint8], alone: NDArray[np.uint8], size: int) -> float:
    """nan where the clip has no inside of groups to compare with."""
    inside = len(shown) - 1 - len(range(size, len(shown), size))
    if inside < 8:
        return float("nan")
    return seams(differences(shown), differences(alone), range(size, len(shown), size)).mean
