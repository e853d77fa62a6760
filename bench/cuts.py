"""`python -m bench cuts`: whether the picture jumps where one chunk of a long video meets the next.

The same clip is made in one chunk and in several, without loss. How much a frame differs from the one before is mostly
its motion, so each difference of the cut video is divided by that of the whole one; the ratio of a cut is this quotient
over the mean of the others, as in `bench seams`. A short clip has few cuts, so it is begun at several of its frames,
and all cuts are counted together.

As there, both runs have the same poses, found once. With trackers of their own, as jobs have them, the quotient is not
1 inside of chunks either: one that began elsewhere sees the person a little elsewhere, in every frame. That is told as
well, at cuts and inside.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.seams import BAR, LEAST_DIFFERENCE, Clip, differences
from tpc_stream.bundle import open_bundle
from tpc_stream.job.frame_index import read_index
from tpc_stream.job.run_job import JobConfig, run_job
from tpc_stream.job.spec import make_spec
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions
from tpc_stream.plan import make_plan
from tpc_stream.reading.source_info import SourceRange
from tpc_stream.source import read_frames

ASSETS = Path(__file__).resolve().parent.parent / "tpc_stream" / "assets"
SAME, OWN = "the same poses", "trackers of their own"
"""Whose poses both runs have: found once, or each its own as jobs have them."""
Floats = NDArray[np.float64]


def cut_ratios(cut: Floats, whole: Floats, borders: list[int]) -> tuple[Floats, Floats]:
    """The ratios at the borders that lie in motion, indices of frames that begin a chunk; and those of all others.

    cut, whole: [N - 1], `differences` of both runs.
    """
    if len(cut) != len(whole):
        raise ValueError(f"both runs have as many frames, got {len(cut) + 1} and {len(whole) + 1}")
    moving = whole >= LEAST_DIFFERENCE
    quotient = np.divide(cut, whole, out=np.ones_like(cut), where=moving)
    at = np.zeros(len(cut), dtype=bool)
    at[[k - 1 for k in borders]] = True
    inside = quotient[~at & moving]
    mean = inside.mean() if len(inside) else 1.0
    return quotient[at & moving] / mean, inside / mean


def measure(
    reference: str,
    motion: str,
    folder: Path,
    *,
    bundle: str,
    chunk_seconds: float,
    start: float,
    end: float | None,
    clip: Clip | None,
) -> tuple[Floats, Floats]:
    """`cut_ratios` of the job in chunks and the same in one. clip: whose poses both have; None: each its own."""
    first = read_index(motion).frames_of(SourceRange.of(start, end, None)).start
    config = JobConfig(pose_stage=None if clip is None else partial(clip.poses, first=first))
    made: list[Floats] = []
    borders: list[int] = []
    for name, seconds in (("whole.mkv", 0.0), ("cut.mkv", chunk_seconds)):
        out = folder / name
        outputs = OutputOptions(path=str(out), codec="ffv1", sound=False, sheet=False, report=False, overwrite=True)
        options = AnimateOptions(bundle=bundle, start_seconds=start, end_seconds=end)
        spec = make_spec(reference, motion, outputs, options, chunk_seconds=seconds)
        if spec.trouble:
            raise SystemExit(f"{motion} cannot be cut: {spec.trouble}")
        for _ in run_job(spec, config=config):
            pass
        borders = [chunk.frames.start for chunk in spec.chunks[1:]]
        made.append(differences(frame.image for frame in read_frames(out)))
        out.unlink()
    return cut_ratios(made[1], made[0], borders)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench cuts", description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", default=str(ASSETS / "demo_reference.png"))
    parser.add_argument("--motion", nargs="+", default=[str(ASSETS / "demo_motion.mp4")])
    parser.add_argument("--chunk-seconds", type=float, default=0.64)
    parser.add_argument("--starts", type=float, nargs="+", default=[0.04 * k for k in range(12)], help="seconds")
    parser.add_argument("--end", type=float, default=None, help="seconds")
    parser.add_argument("--bundle", default="mannequin")
    choices = parser.parse_args(argv)
    table = Table(
        title=f"Frame differences at cuts over those inside, chunks of {choices.chunk_seconds:g} s",
        title_justify="left",
    )
    for column in ("motion", "", "frames", "mean", "p5", "p95", "highest"):
        table.add_column(column, justify="left" if column in ("motion", "") else "right")
    ratios_at_cuts: dict[str, list[float]] = {SAME: [], OWN: []}
    canvas = make_plan(open_bundle(choices.bundle), AnimateOptions(bundle=choices.bundle)).canvas
    with tempfile.TemporaryDirectory() as folder:
        for motion in choices.motion:
            clip = Clip(motion, canvas=canvas)
            for poses, known in ((SAME, clip), (OWN, None)):
                at, inside = list[float](), list[float]()
                for start in choices.starts:
                    ratios, others = measure(
                        choices.reference, motion, Path(folder), bundle=choices.bundle,
                        chunk_seconds=choices.chunk_seconds, start=start, end=choices.end, clip=known,
                    )  # fmt: skip
                    at += ratios.tolist()
                    inside += others.tolist()
                _add(table, Path(motion).name, f"{poses}, at cuts", at)
                _add(table, "", f"{poses}, inside", inside)
                ratios_at_cuts[poses] += at
    console = Console()
    console.print(table)
    p95, own = (float(np.percentile(ratios_at_cuts[poses], 95)) for poses in (SAME, OWN))
    console.print(
        f"p95 of {len(ratios_at_cuts[SAME])} cuts: {p95:.3f}, {BAR:g} is allowed; with {OWN} {own:.3f}",
        highlight=False,
    )
    return 0 if p95 <= BAR else 1


def _add(table: Table, motion: str, where: str, ratios: list[float]) -> None:
    least, high = np.percentile(ratios, [5, 95])
    figures = (f"{value:.3f}" for value in (np.mean(ratios), least, high, max(ratios)))
    table.add_row(motion, where, str(len(ratios)), *figures)
