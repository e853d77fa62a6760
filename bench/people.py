"""`python -m bench people --out FILE`: bundles side by side on rendered people never seen, as one contact sheet.

The clips are the first of `bench quality`, with their aligned references and calibration; shown is the middle frame of
each, so that nothing is chosen by its looks. Columns: the reference, the truth, each bundle.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.jitter import labels, sizes_of
from bench.photographs import caption
from bench.quality.command import add_rendered
from bench.quality.rendered import Workshop
from bench.quality.runs import Runner
from bench.quality.sets import TestClip
from tpc_stream.bundle import open_bundle
from tpc_stream.commands.shell import read_size
from tpc_stream.errors import TpcStreamError
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import make_plan

Pictures = NDArray[np.uint8]


def row(clip: TestClip, runners: dict[str, Runner], *, named: bool) -> Iterator[Pictures]:
    """Tiles of one clip: reference, truth, and what each bundle makes of it; named: with words above them."""
    case, middle = next(c for c in clip.cases if c.name == "aligned"), len(clip.frames) // 2
    truth = clip.truths[middle]
    columns = {"reference": case.portrait.image, "truth": truth}
    columns |= {name: runner.run(clip, case)[middle] for name, runner in runners.items()}
    for name, picture in columns.items():
        yield caption(picture, name if named else "", side=len(truth))


def main(argv: list[str]) -> int:
    """0, or 2 with one line where an option or an input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench people", description=__doc__.partition("\n")[0])
    parser.add_argument("--bundles", nargs="+", default=["mannequin", "mannequin-256"], help="names or folders")
    parser.add_argument("--out", type=Path, required=True, help="the sheet, JPEG or PNG")
    parser.add_argument("--count", type=int, default=6, help="people")
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
    parser.add_argument("--size", help="WIDTHxHEIGHT at which all are made; default: the last bundle's")
    add_rendered(parser)
    choices = parser.parse_args(argv)
    try:
        sheet = draw(choices)
    except (TpcStreamError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    cv2.imwrite(str(choices.out), sheet[..., ::-1])
    Console().print(f"{choices.out}: {choices.out.stat().st_size / 1e3:.0f} kB", highlight=False)
    return 0


def draw(choices: argparse.Namespace) -> Pictures:
    """The whole sheet [H, W, 3]; errors are raised."""
    size = read_size(choices.size) or make_plan(open_bundle(choices.bundles[-1]), AnimateOptions()).output
    with ExitStack() as opened:
        runners = {
            name: opened.enter_context(
                Runner(AnimateOptions(bundle=bundle, threads=choices.threads, size=size, seed=choices.first_seed))
            )
            for name, bundle in zip(labels(choices.bundles), choices.bundles, strict=True)
        }
        workshop = Workshop(sizes_of({name: runner.plan for name, runner in runners.items()}), clips=choices.clips)
        clips = workshop.clips(seed=choices.first_seed, count=choices.count, frames=choices.frames)
        return np.concatenate([np.concatenate(list(row(c, runners, named=k == 0)), 1) for k, c in enumerate(clips)])
