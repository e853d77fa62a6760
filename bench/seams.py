"""`python -m bench seams`: whether the picture jumps where windows, chunks or groups of Iterative Propagation meet.

How much a frame differs from the one before is mostly its motion. So the same clip is also made with every frame on
its own (windows of one frame, no groups), and each difference is divided by the difference there: 1 is what the
motion alone makes. The ratio of a seam is such a quotient at a border over the interior's mean; told are their mean
and p95. Where every frame begins a chunk, or lies in a cross-fade, there is no interior, and 1 stands for it. A
difference is the mean over all values of the picture, of [0, 255].
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tpc_stream.fit import fit_frames
from tpc_stream.frame import Frame, Portrait, PosedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.plan import Plan
from tpc_stream.pose import estimate_poses
from tpc_stream.source import read_frames

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
BAR = 1.05
LEAST_DIFFERENCE = 0.05
"""Of [0, 255]: frames that stand still have no motion that a seam could be held against."""
LEAST_INTERIOR = 8
"""Frames: fewer are no interior, as where every frame begins a chunk or lies in a cross-fade."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seams:
    """Borders of one kind."""

    count: int
    mean: float
    p95: float
    """Of the ratios; 1 is no seam."""
    least: float
    """The 5th percentile: below 1 where the picture stands still for a frame."""


def differences(pictures: Iterable[NDArray[np.uint8]]) -> Floats:
    """[N - 1]: element k is the mean absolute difference of picture k + 1 from picture k."""
    found = []
    before: NDArray[np.int16] | None = None
    for picture in pictures:
        now = picture.astype(np.int16)
        if before is not None:
            found.append(float(np.abs(now - before).mean()))
        before = now
    return np.array(found)


def seams(found: Floats, alone: Floats, borders: Sequence[int], *, apart: Sequence[int] = ()) -> Seams:
    """The ratios at `borders`: indices of frames that begin something.

    Args:
        found: `differences` of the run. alone: the same of a run without borders.
        apart: borders of other kinds, which are neither in the interior nor looked at.
    """
    if len(found) != len(alone):
        raise ValueError(f"both runs have as many frames, got {len(found) + 1} and {len(alone) + 1}")
    moving = alone >= LEAST_DIFFERENCE
    quotient = np.divide(found, alone, out=np.ones_like(found), where=moving)
    at = np.zeros(len(found), dtype=bool)
    at[[k - 1 for k in borders if 0 < k <= len(found)]] = True
    elsewhere = at.copy()
    elsewhere[[k - 1 for k in apart if 0 < k <= len(found)]] = True
    interior = quotient[~elsewhere & moving]
    ratios = quotient[at & moving] / (interior.mean() if len(interior) >= LEAST_INTERIOR else 1.0)
    if not len(ratios):
        return Seams(0, np.nan, np.nan, np.nan)
    least, p95 = np.percentile(ratios, [5, 95])
    return Seams(len(ratios), float(ratios.mean()), float(p95), float(least))


def borders(plan: Plan, frames: int) -> dict[str, list[int]]:
    """By kind: the frames whose difference from the one before lies across a border. All frames of a cross-fade do."""
    config = plan.denoise
    kind = "chunk" if config.schedule == "diagonal" else "window"
    found = {
        kind: [
            start + k for start in range(plan.new_frames, frames, plan.new_frames) for k in range(config.overlap + 1)
        ]
    }
    if config.tpc and kind == "window":
        groups = range(config.group_size, frames, config.group_size)
        found["group"] = sorted(set(groups) - set(found[kind])) if config.group_size > 1 else []
    return found


class Clip:
    """The driving frames with their poses, looked at once for all runs."""

    def __init__(self, motion: str, *, canvas: tuple[int, int], max_frames: int | None = None) -> None:
        frames = read_frames(motion, max_frames=max_frames)
        self._posed = list(estimate_poses(fit_frames(frames, width=canvas[0], height=canvas[1])))

    @property
    def frames(self) -> list[Frame]:
        return [item.frame for item in self._posed]

    def poses(self, frames: Iterable[Frame], *, first: int = 0) -> Iterator[PosedFrame]:
        """The pose stage of every run; first: the frame of the clip that a run begins with."""
        for frame in frames:
            yield replace(self._posed[first + frame.index], frame=frame)


def variants(options: AnimateOptions, *, diagonal: bool = True) -> Mapping[str, AnimateOptions]:
    """What is compared where the command line does not choose; diagonal: whether the bundle was trained for that."""
    two = replace(options, steps=2)
    windows = {
        "window, the defaults": options,
        "window 8, overlap 4": replace(options, window=8, overlap=4),
        "window 16, overlap 8": replace(options, window=16, overlap=8),
        "window 8, no groups": replace(options, window=8, group_size=1),
        "window 8, groups of 2": replace(options, window=8, group_size=2),
        "window 8, 2 steps": replace(two, window=8),
        "window 8, overlap 4, 2 steps": replace(two, window=8, overlap=4),
    }
    if not diagonal:
        return windows
    return windows | {
        "diagonal, chunk 1, 2 steps": replace(two, schedule="diagonal", chunk=1),
        "diagonal, chunk 2, 2 steps": replace(two, schedule="diagonal", chunk=2),
        "diagonal, chunk 4, 2 steps": replace(two, schedule="diagonal", chunk=4),
    }


def measure(clip: Clip, portrait: Portrait, made: Mapping[str, AnimateOptions]) -> Iterator[tuple[str, str, Seams]]:
    """Yields (variant, kind of border, its seams)."""
    alone: dict[int, Floats] = {}
    for name, options in made.items():
        plan, found = _run(clip, portrait, options)
        steps = plan.denoise.steps
        if steps not in alone:
            own = replace(options, schedule="window", chunk=None, window=1, overlap=0, groups=None, group_size=1)
            alone[steps] = _run(clip, portrait, own)[1]
        kinds = borders(plan, len(found) + 1)
        for kind, places in kinds.items():
            others = [place for other, found_there in kinds.items() if other != kind for place in found_there]
            yield name, kind, seams(found, alone[steps], places, apart=others)


def _run(clip: Clip, portrait: Portrait, options: AnimateOptions) -> tuple[Plan, Floats]:
    with Animator(options, pose_stage=clip.poses) as animator:
        animator.portrait = portrait
        return animator.plan, differences(frame.image for frame in animator.animate(clip.frames))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench seams", description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", default=str(ASSETS / "demo_motion.mp4"), help="a rendered clip")
    parser.add_argument("--max-frames", type=int, default=250)
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-tpc", action="store_true")
    choices = parser.parse_args(argv)
    options = AnimateOptions(bundle=choices.bundle, threads=choices.threads, tpc=not choices.no_tpc)
    console = Console()
    with Animator(options) as animator:
        portrait = animator.set_reference(choices.reference)
        clip = Clip(choices.motion, canvas=animator.plan.canvas, max_frames=choices.max_frames)
        diagonal = "diagonal" in animator.bundle.manifest.conditioning.schedules
    table = Table(
        title=f"Frame differences at borders over those inside, {len(clip.frames)} frames", title_justify="left"
    )
    for column in ("", "border", "count", "mean", "p5", "p95", ""):
        table.add_column(column, justify="left" if column in ("", "border") else "right")
    worst = 0.0
    for name, kind, made in measure(clip, portrait, variants(options, diagonal=diagonal)):
        if not made.count:
            continue
        figures = (f"{value:.3f}" for value in (made.mean, made.least, made.p95))
        within = made.p95 <= BAR
        table.add_row(name, kind, str(made.count), *figures, "" if within else f"over {BAR:g}")
        if kind != "group":
            worst = max(worst, made.p95)
    console.print(table)
    console.print(f"highest p95 at a window or chunk: {worst:.3f}, {BAR:g} is allowed", highlight=False)
    return 0 if worst <= BAR else 1
