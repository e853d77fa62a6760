"""`python -m export table`: every system at tiny width from checkpoint to stream, each step checked as it is made.

Weights are random, in the layout that the authors publish; the stream is the demo's, with pose estimation and all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import tpc_stream
from export.systems.random_checkpoint import random_system, write_random_checkpoint
from export.systems.registry import SYSTEMS, load_system
from export.to_onnx import KEPT_WHOLE, Precision, parity
from export.to_onnx_roles import system_graphs
from export.write_bundle import write_system_bundle
from tpc_stream.errors import CheckpointError
from tpc_stream.frame import Portrait
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator

ASSETS = Path(tpc_stream.__file__).parent / "assets"
SIZE = 128
"""Pixels on each side."""
FRAMES, STEPS, WINDOW = 6, 2, 4
HEAD = ("system", "loads", "exports", "fp32 error", "fp16 PSNR", "fp16, no guidance", "streams", "TPC changes")
Pictures = NDArray[np.uint8]
"""[F, H, W, 3]."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one system."""

    name: str
    keys: int
    """That were loaded, bit for bit."""
    graphs: int
    fp32_error: float
    """Of ONNX Runtime from torch, over all graphs, of the largest value."""
    fp16_decibels: float
    """PSNR of fp16 pictures against fp32 ones, at the authors' guidance."""
    fp16_unguided_decibels: float
    frames: int
    repeats: bool
    """Whether a second run is bit-identical."""
    tpc_levels: float
    """Mean grey levels by which calibration changes the pictures."""

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.keys} keys",
            f"{self.graphs} graphs",
            f"{self.fp32_error:.1e}",
            f"{self.fp16_decibels:.1f} dB",
            f"{self.fp16_unguided_decibels:.1f} dB",
            f"{self.frames} frames, {'bit-identical again' if self.repeats else 'NOT THE SAME AGAIN'}",
            f"{self.tpc_levels:.1f} of 255",
        )


def main(argv: list[str]) -> int:
    """Prints the table; 0."""
    parser = argparse.ArgumentParser(prog="python -m export table", description=__doc__)
    parser.add_argument("systems", nargs="*", help="names; default: all")
    parser.add_argument("--markdown", action="store_true", help="as Markdown")
    parser.add_argument("--keep-fp32", default=KEPT_WHOLE, metavar="REGEX", help="as of the export; '$^' keeps nothing")
    options = parser.parse_args(argv)
    names = tuple(options.systems) or tuple(SYSTEMS)
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        print(f"error: unknown system {unknown[0]!r}; one of {', '.join(SYSTEMS)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    start, between, end = ("| ", " | ", " |") if options.markdown else ("", "  ", "")

    def line(cells: tuple[str, ...]) -> str:
        widths = [0 if options.markdown else width for width in (15, 9, 8, 10, 9, 17, 29, 11)]
        return start + between.join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + end

    print(line(HEAD))
    if options.markdown:
        print("|---" * len(HEAD) + "|")
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            print(line(check(name, Path(scratch), keep=options.keep_fp32).cells), flush=True)
    return 0


def check(name: str, folder: Path, *, keep: str = KEPT_WHOLE) -> Row:
    """Writes a checkpoint, loads it, exports it in both precisions, compares, and streams.

    `keep`: of half precision, see `use_half_precision`.
    """
    sources = write_random_checkpoint(name, folder / "weights", width=SIZE, height=SIZE)
    system, _ = load_system(name, sources)
    written = random_system(name, width=SIZE, height=SIZE).state_dict()
    loaded = system.state_dict()
    if any(not torch.equal(loaded[key], tensor) for key, tensor in written.items()):
        raise CheckpointError(f"the {name} that was loaded is not the one that was written")
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    for precision in precisions:
        write_system_bundle(
            system, folder / precision, name=name, width=SIZE, height=SIZE, precision=precision,
            keep=keep,
            origin="random weights", check=False,
        )  # fmt: skip
        if precision == "fp32":
            graphs = system_graphs(system, width=SIZE, height=SIZE)
            axes = {f"{kind}{k}": 7 for kind in "RK" for k in range(16)} | {"F": 5, "N": 3, "U": 2}
            error = max(parity(graph, folder / "fp32" / f"{graph.role}.onnx", axes) for graph in graphs)
    usual, portrait = _stream(folder / "fp32", None)
    again, _ = _stream(folder / "fp32", portrait)
    plain, _ = _stream(folder / "fp32", portrait, tpc=False)
    unguided, _ = _stream(folder / "fp32", portrait, guidance_scale=1.0)
    half, _ = _stream(folder / "fp16", portrait)
    half_unguided, _ = _stream(folder / "fp16", portrait, guidance_scale=1.0)
    return Row(
        name=name,
        keys=len(written),
        graphs=len(graphs),
        fp32_error=error,
        fp16_decibels=decibels(half, usual),
        fp16_unguided_decibels=decibels(half_unguided, unguided),
        frames=len(usual),
        repeats=bool(np.array_equal(usual, again)),
        tpc_levels=float(np.abs(usual.astype(float) - plain).mean()),
    )


def decibels(found: Pictures, wanted: Pictures) -> float:
    """PSNR of 8-bit pictures; 168 where they are equal."""
    error = float(np.square(found.astype(np.float64) - wanted).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def _stream(bundle: Path, portrait: Portrait | None, **choices: object) -> tuple[Pictures, Portrait]:
    """The demo's frames, and the portrait that was made or taken."""
    options = AnimateOptions(bundle=bundle, threads=1, steps=STEPS, window=WINDOW, max_frames=FRAMES, **choices)
    with Animator(options) as animator:
        if portrait is None:
            portrait = animator.set_reference(ASSETS / "demo_reference.png")
        animator.portrait = portrait
        done = list(animator.animate(ASSETS / "demo_motion.mp4"))
    return np.stack([item.image for item in done]), portrait
