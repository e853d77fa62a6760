"""The command line of `python -m bench quality`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.quality.backbones import Backbones, network
from bench.quality.figures import Entry, plain
from bench.quality.measure import METRICS, Clips, by_reference, changes, measure, propagation, results
from bench.quality.runs import Runner
from bench.quality.sets import KINDS, Sizes, TestClip
from tpc_stream.errors import TpcStreamError
from tpc_stream.options import AnimateOptions

QUICK, FULL = (6, 2), (8, 4)
"""Seeds, and clips a seed."""
DESCRIPTION = "Quality on people never seen: aligned and misaligned, without and with calibration."


def clip_source(choices: argparse.Namespace, sizes: Sizes, count: int) -> Clips:
    """Rendered clips by seed, or the user's videos, the same under every seed."""
    if choices.data is not None:
        from bench.quality.videos import video_clips

        kept = list(video_clips(choices.data, sizes, max_frames=choices.max_frames))
        return lambda seed: kept
    from bench.quality.rendered import Workshop

    workshop = Workshop(sizes, clips=choices.clips)

    def rendered(seed: int) -> Iterable[TestClip]:
        return workshop.clips(seed=seed, count=count, frames=choices.frames)

    return rendered


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every command on rendered clips with one bundle takes."""
    parser.add_argument("--bundle", default="mannequin", help="a bundle's name or folder")
    add_rendered(parser)


def add_rendered(parser: argparse.ArgumentParser) -> None:
    """What every command on rendered clips takes, whatever its bundles."""
    parser.add_argument("--clips", type=Path, help="folder of humanoid3d_*.txt; default: an installed pybullet_data")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of an engine; 0: all cores")


def show(console: Console, document: dict[str, Any], found: dict[str, dict[str, dict[str, Entry]]]) -> None:
    """Tables for people."""
    table = Table(title="mean ± half of the 95 % interval over seeds", title_justify="left")
    for column in ("", *(f"{kind}, {variant}" for kind in KINDS for variant in ("no_tpc", "tpc"))):
        table.add_column(column)
    for name in METRICS:
        table.add_row(name, *(str(found[kind][variant][name]) for kind in KINDS for variant in ("no_tpc", "tpc")))
    console.print(table)
    for title in ("person PSNR, dB", "by reference"):
        console.print(title, style="bold")
        for name, value in document[title].items():
            told = value if not isinstance(value, dict) else ", ".join(f"{k} {v}" for k, v in value.items())
            console.print(f"  {name}: {told}", highlight=False)
    console.print("Iterative Propagation", style="bold")
    for kind, both in document["propagation"].items():
        for label, values in both.items():
            console.print(f"  {kind}, {label}: " + ", ".join(f"{k} {v}" for k, v in values.items()), highlight=False)


def main(argv: list[str]) -> int:
    """0, or 2 with one line where an option or an input is wrong."""
    try:
        return run(argv)
    except (TpcStreamError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(argv: list[str]) -> int:
    """Measures, prints and writes; errors are raised."""
    parser = argparse.ArgumentParser(prog="python -m bench quality", description=DESCRIPTION)
    add_common(parser)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]} seeds of {QUICK[1]} clips")
    parser.add_argument("--seeds", type=int, help=f"how many; default {FULL[0]}")
    parser.add_argument("--clips-per-seed", type=int, help=f"default {FULL[1]}")
    parser.add_argument("--frames", type=int, default=16, help="of a rendered clip")
    parser.add_argument("--data", type=Path, help="a folder of your own videos instead of rendered people")
    parser.add_argument("--max-frames", type=int, default=120, help="of each of your own videos")
    parser.add_argument("--steps", type=int, help="denoising steps; default: the bundle's")
    for name, taken in (("lpips", "two pictures"), ("fid", "pictures"), ("fid-vid", "clips"), ("fvd", "clips")):
        parser.add_argument(f"--{name}", type=Path, help=f"ONNX graph of its backbone, takes {taken}; see docs")
    parser.add_argument("--json", type=Path, help="write all figures here")
    choices = parser.parse_args(argv)
    seeds, count = QUICK if choices.quick else FULL
    seeds, count = choices.seeds or seeds, choices.clips_per_seed or count
    backbones = Backbones(
        **{
            name: None if path is None else network(path, inputs=2 if name == "lpips" else 1)
            for name, path in ((n, getattr(choices, n)) for n in ("lpips", "fid", "fid_vid", "fvd"))
        }
    )
    console, began = Console(), time.monotonic()
    options = AnimateOptions(bundle=choices.bundle, threads=choices.threads, steps=choices.steps)
    with Runner(options) as runner:
        sizes = runner.sizes
    measured = measure(
        clip_source(choices, sizes, count), range(choices.first_seed, choices.first_seed + seeds), options,
        backbones=backbones, progress=lambda text: console.print(text, style="dim"),
    )  # fmt: skip
    found = results(measured)
    document: dict[str, Any] = {
        "version": 1,
        "bundle": str(choices.bundle),
        "data": "rendered" if choices.data is None else str(choices.data),
        "seeds": [choices.first_seed, seeds],
        "clips_per_seed": count,
        "frames": measured.frames,
        "results": found,
        "person PSNR, dB": changes(measured),
        "by reference": by_reference(measured),
        "propagation": propagation(measured),
        "seconds": round(time.monotonic() - began, 1),
    }
    show(console, document, found)
    console.print(f"{document['seconds']:.0f} s", highlight=False)
    if choices.json:
        choices.json.write_text(json.dumps(plain(document), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0
