"""`python -m bench jitter`: how much of a pose estimator's jitter reaches the picture, with one bundle or another.

A bundle whose frames of a window see each other may take some of it away. The clips are those of `bench quality`, the
references its aligned ones, with calibration. Each frame's keypoints are moved by Gaussian noise of their own, the same
for all bundles and, scaled, at all strengths; the masks and the reference stay.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.quality.command import FULL, QUICK, add_rendered
from bench.quality.figures import Figure
from bench.quality.measure import Clips
from bench.quality.plots import draw_measures, write_csv
from bench.quality.rendered import Workshop
from bench.quality.runs import Runner, score
from bench.quality.sets import Sizes, TestClip
from tpc_stream.bundle import open_bundle
from tpc_stream.commands.shell import read_size
from tpc_stream.errors import InputError, TpcStreamError
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import Plan, make_plan

SIGMAS = (0.0, 0.3, 0.6, 1.2)
"""Standard deviation of x and of y, percent of the picture's shorter side. The first is what the others are told
against."""
METRICS = {
    "person PSNR": "person PSNR, dB",
    "flicker": "flicker, levels",
    "difference error": "difference error, levels",
}
Values = dict[tuple[str, float, str], list[float]]
"""(bundle, sigma, metric): one value a seed."""
Figures = dict[tuple[str, float, str], Figure]


def jittered(clip: TestClip, sigma_percent: float, *, seed: Sequence[int]) -> TestClip:
    """The clip with every frame's keypoints moved; the same seed gives the same directions at every sigma."""
    rng = np.random.default_rng([*seed, 5077])
    frames = []
    for item in clip.frames:
        draws = rng.standard_normal((17, 2))
        if item.body is None:
            frames.append(item)
            continue
        pixels = sigma_percent / 100 * min(item.frame.image.shape[:2])
        moved = (item.body.keypoints + pixels * draws).astype(np.float32)
        frames.append(replace(item, body=replace(item.body, keypoints=moved)))
    return replace(clip, frames=tuple(frames))


def measure(
    clips: Clips, seeds: Sequence[int], bundles: Mapping[str, AnimateOptions], *, progress: Callable[[str], None]
) -> Values:
    """Animates every clip of every seed with each bundle at each strength. The seed also decides noise and draws."""
    values: Values = defaultdict(list)
    for seed in seeds:
        of_seed: Values = defaultdict(list)
        with ExitStack() as opened:
            runners = {name: opened.enter_context(Runner(replace(o, seed=seed))) for name, o in bundles.items()}
            for number, clip in enumerate(clips(seed)):
                case = next(c for c in clip.cases if c.name == "aligned")
                for sigma in SIGMAS:
                    shaken = jittered(clip, sigma, seed=(seed, number))
                    for name, runner in runners.items():
                        found = score(clip, runner.run(shaken, case), names=("person PSNR",))
                        for metric, column in (found.frames | found.steps).items():
                            of_seed[name, sigma, metric].append(float(np.nanmean(column)))
        for key, of_clips in of_seed.items():
            values[key].append(float(np.mean(of_clips)))
        progress(f"seed {seed} done")
    return values


def figures(values: Values, *, first: str) -> dict[str, Figures]:
    """By title: the figures, the changes by jitter, and those from the first bundle, both seed by seed."""

    def less(key: tuple[str, float, str], other: tuple[str, float, str]) -> Figure:
        return Figure.of(a - b for a, b in zip(values[key], values[other], strict=True))

    out = {
        "": {key: Figure.of(column) for key, column in values.items()},
        "change by jitter": {key: less(key, (key[0], SIGMAS[0], key[2])) for key in values if key[1] != SIGMAS[0]},
    }
    others = {key: less(key, (first, *key[1:])) for key in values if key[0] != first}
    return out | ({f"against {first}": others} if others else {})


def labels(bundles: Sequence[str]) -> list[str]:
    """What each is called: its folder's name, or all of the path where two have the same."""
    short = [Path(bundle).name for bundle in bundles]
    names = short if len(set(short)) == len(bundles) else list(bundles)
    if len(set(names)) < len(names):
        raise InputError(f"each bundle is named once, got {' '.join(bundles)}")
    return names


def sizes_of(plans: Mapping[str, Plan]) -> Sizes:
    """What all have in common. Raises InputError where a bundle looks at people at another size than the others."""
    canvases = {plan.canvas for plan in plans.values()}
    if len(canvases) > 1:
        told = ", ".join(f"{name} {plan.canvas[0]}x{plan.canvas[1]}" for name, plan in plans.items())
        raise InputError(f"bundles are compared on the same clips, but these look at people at other sizes: {told}")
    plan = next(iter(plans.values()))
    return Sizes(plan.canvas, plan.output)


def tables(found: Mapping[str, Figures], names: Sequence[str]) -> Iterator[Table]:
    """For people."""
    for title, cells in found.items():
        table = Table(
            title=f"{title or 'as measured'}: mean ± half of the 95 % interval over seeds", title_justify="left"
        )
        for column in ("bundle", "jitter, %", *METRICS.values()):
            table.add_column(column, justify="left" if column == "bundle" else "right")
        for name in names:
            for sigma in SIGMAS:
                row = [cells[name, sigma, metric] for metric in METRICS if (name, sigma, metric) in cells]
                if row:
                    table.add_row(name, f"{sigma:g}", *map(str, row))
        yield table


def rows(found: Mapping[str, Figures], names: Sequence[str]) -> Iterator[list[object]]:
    """For `write_csv`, after `header`; empty where there is nothing to compare with."""
    for name in names:
        for sigma in SIGMAS:
            all_figures = [cells.get((name, sigma, metric)) for cells in found.values() for metric in METRICS]
            ends = [("", "", "") if f is None else (f.mean, f.low, f.high) for f in all_figures]
            yield [name, sigma, *(end for three in ends for end in three)]


def header(found: Mapping[str, Figures]) -> list[str]:
    columns = [f"{metric} {title}".strip() for title in found for metric in METRICS]
    return ["bundle", "sigma percent", *(f"{c} {end}" for c in columns for end in ("mean", "low", "high"))]


def draw(path: Path, found: Mapping[str, Figures], names: Sequence[str]) -> None:
    """A row of panels a title; what is told against itself is 0."""
    none = Figure(0.0, 0.0, 0.0)
    panels = [
        {
            f"{shown},\n{title}".rstrip(",\n"): {n: [cells.get((n, s, metric), none) for s in SIGMAS] for n in names}
            for metric, shown in METRICS.items()
        }
        for title, cells in found.items()
    ]
    draw_measures(path, SIGMAS, panels, label="keypoint jitter, % of the side")


def main(argv: list[str]) -> int:
    """0, or 2 with one line where an option or an input is wrong."""
    try:
        return run(argv)
    except (TpcStreamError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(argv: list[str]) -> int:
    """Measures, prints and writes; errors are raised."""
    parser = argparse.ArgumentParser(prog="python -m bench jitter", description=__doc__.partition("\n")[0])
    parser.add_argument("--bundles", nargs="+", default=["mannequin"], help="names or folders; told against the first")
    add_rendered(parser)
    parser.add_argument("--size", help="WIDTHxHEIGHT at which all are compared; default: the first bundle's")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]} seeds of {QUICK[1]} clips")
    parser.add_argument("--seeds", type=int, help=f"how many; default {FULL[0]}")
    parser.add_argument("--clips-per-seed", type=int, help=f"default {FULL[1]}")
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
    parser.add_argument("--csv", type=Path, help="write all figures here")
    parser.add_argument("--plot", type=Path, help="draw them here, PNG")
    choices = parser.parse_args(argv)
    seeds, count = QUICK if choices.quick else FULL
    seeds, count = choices.seeds or seeds, choices.clips_per_seed or count
    names, size, console = labels(choices.bundles), read_size(choices.size), Console()
    bundles: dict[str, AnimateOptions] = {}
    plans: dict[str, Plan] = {}
    for name, bundle in zip(names, choices.bundles, strict=True):
        bundles[name] = AnimateOptions(bundle=bundle, threads=choices.threads, size=size)
        plans[name] = make_plan(open_bundle(bundle), bundles[name])
        size = size or plans[name].output
        d = plans[name].denoise
        console.print(f"{name}: windows of {d.window} frames, overlap {d.overlap}; steps: {d.steps}", highlight=False)
    sizes = sizes_of(plans)
    console.print(f"compared at {sizes.output[0]}x{sizes.output[1]}", highlight=False)
    workshop = Workshop(sizes, clips=choices.clips)
    values = measure(
        lambda seed: workshop.clips(seed=seed, count=count, frames=choices.frames),
        range(choices.first_seed, choices.first_seed + seeds), bundles,
        progress=lambda text: console.print(text, style="dim"),
    )  # fmt: skip
    found = figures(values, first=names[0])
    for table in tables(found, names):
        console.print(table)
    if choices.csv:
        write_csv(choices.csv, header(found), list(rows(found, names)))
    if choices.plot:
        draw(choices.plot, found, names)
    return 0
