"""`python -m bench training_curve --part LOG TARGETS ...`: error on people held out against targets seen.

LOG is what `python -m export mannequin train` printed, or `polish` with --polish; TARGETS how many a step had (groups
times targets of a group times processes). Parts follow each other; each began from the moving average at the end of the
one before, polishes after all other parts.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from bench.quality.plots import COLOURS, write_csv

LINE = re.compile(r"animator (?:done: )?(\d+) .*held-out ([\d.]+)(?: ([\d.]+) ([\d.]+) \(1, 2, 4 steps\))?")
POLISHED = re.compile(r"polish (?:done: )?(\d+)[ :].*held-out ([\d.]+) dB ([\d.]+)")
STEPS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Point:
    """One line of a log."""

    part: int
    targets: int
    """Seen by then, all parts together."""
    errors: tuple[float | None, ...]
    """By STEPS; None: not told by that log."""


def read_parts(parts: list[tuple[Path, int]]) -> list[Point]:
    """All lines of all logs. Raises ValueError for a log without any."""
    points: list[Point] = []
    before = 0
    for number, (path, targets) in enumerate(parts, 1):
        found = [match for line in path.read_text().splitlines() if (match := LINE.match(line))]
        if not found:
            raise ValueError(f"{path} holds no line such as 'animator 200 170s loss 0.58 held-out 1.19'")
        for match in found:
            errors = tuple(None if text is None else float(text) for text in match.groups()[1:])
            points.append(Point(number, before + int(match[1]) * targets, errors))
        before = points[-1].targets
    return points


@dataclass(frozen=True, slots=True)
class Polished:
    """One line of a log of `polish`."""

    part: int
    targets: int
    """Seen by then, all parts together."""
    psnr_db: float
    """Inside the person, on mid grey."""
    ssim: float


def read_polishes(parts: list[tuple[Path, int]], *, first: int, before: int) -> list[Polished]:
    """All lines of all logs; parts count from `first`, targets from `before`. ValueError for a log without any."""
    points: list[Polished] = []
    for number, (path, targets) in enumerate(parts, first):
        found = [match for line in path.read_text().splitlines() if (match := POLISHED.match(line))]
        if not found:
            raise ValueError(f"{path} holds no line such as 'polish 50 99s loss 0.55 held-out 19.08 dB 0.5023'")
        points += [Polished(number, before + int(m[1]) * targets, float(m[2]), float(m[3])) for m in found]
        before = points[-1].targets
    return points


def draw(path: Path, points: list[Point], polished: list[Polished]) -> None:
    """One step, a line where a part begins; the parts that told of more steps; the pictures' PSNR while polished."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    late = [p for p in points if p.errors[1] is not None]
    widths = [2, *[1] * (bool(late) + bool(polished))]
    size = (2.0 + 2.6 * len(widths), 2.8)
    made, all_axes = pyplot.subplots(
        1, len(widths), figsize=size, dpi=90, width_ratios=widths, squeeze=False, layout="tight"
    )
    axes = all_axes[0, 0]
    axes.plot([p.targets / 1e3 for p in points], [p.errors[0] for p in points], color=COLOURS[2], linewidth=1.3)
    for first, second in pairwise(points):
        if second.part != first.part:
            axes.axvline(first.targets / 1e3, color=COLOURS[0], linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    ticks = [1.0, 1.1, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks], fontsize=8)
    axes.minorticks_off()
    axes.set_ylabel("error of latents, 1 step")
    if late:
        for k, (steps, colour) in enumerate(zip(STEPS, (COLOURS[2], COLOURS[1], COLOURS[3]), strict=True)):
            xs, ys = [p.targets / 1e3 for p in late], [p.errors[k] for p in late]
            all_axes[0, 1].plot(xs, ys, label=f"{steps} step{'s' * (steps > 1)}", color=colour, marker=".")
        all_axes[0, 1].legend(frameon=False, fontsize=8)
    if polished:
        axes = all_axes[0, -1]
        for number in sorted({p.part for p in polished}):
            part = [p for p in polished if p.part == number]
            axes.plot([p.targets / 1e3 for p in part], [p.psnr_db for p in part], color=COLOURS[2], linewidth=1.3)
        axes.set_ylabel("person PSNR, polished (dB)")
    for axes in all_axes[0]:
        axes.set_xlabel("thousand targets seen")
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    pyplot.close(made)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench training_curve", description=__doc__.partition("\n")[0])
    parser.add_argument("--part", nargs=2, action="append", required=True, metavar=("LOG", "TARGETS"))
    parser.add_argument("--polish", nargs=2, action="append", default=[], metavar=("LOG", "TARGETS"))
    parser.add_argument("--out", type=Path, default=Path("docs/quality"))
    choices = parser.parse_args(argv)
    points = read_parts([(Path(log), int(targets)) for log, targets in choices.part])
    header = ["part", "targets", *(f"error, {steps} step{'s' * (steps > 1)}" for steps in STEPS)]
    rows = [[p.part, p.targets, *("" if e is None else e for e in p.errors)] for p in points]
    write_csv(choices.out / "training_curve.csv", header, rows)
    polished = read_polishes(
        [(Path(log), int(targets)) for log, targets in choices.polish],
        first=points[-1].part + 1,
        before=points[-1].targets,
    )
    if polished:
        write_csv(
            choices.out / "training_curve_polish.csv",
            ["part", "targets", "person PSNR, dB", "person SSIM"],
            [[p.part, p.targets, p.psnr_db, p.ssim] for p in polished],
        )
    draw(choices.out / "training_curve.png", points, polished)
    console = Console(soft_wrap=True)
    for part in sorted({p.part for p in points}):
        last = [p for p in points if p.part == part][-1]
        console.print(f"part {part}: {last.targets} targets, error {last.errors[0]}", highlight=False)
    for part in sorted({p.part for p in polished}):
        end = [p for p in polished if p.part == part][-1]
        console.print(f"part {part}: {end.targets} targets, {end.psnr_db} dB, SSIM {end.ssim}", highlight=False)
    return 0
