"""The bundles of the benchmark, from random weights: `python -m bench.gpu.making SIZES FOLDER DEVICE ROLE:VAE ...`.

A process makes some of the graphs: ONNX file and manifest table, and what torch gives in float32 for one example.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch

from bench.gpu.examples import example
from bench.gpu.settings import checked_axes, named_axes
from bench.gpu.sizes import FULL, REHEARSAL, Sizes
from bench.gpu.system import VAES, graphs_of, no_tf32, shaped, token_counts, with_weights
from export.to_onnx import Precision, export_graph, use_half_precision
from export.write_bundle import graph_table, manifest_head

TRACED_FRAMES = 3
VAE_ROLES = ("encode", "decode")


def make_graph(sizes: Sizes, folder: Path, role: str, vae: str, *, device: str) -> None:
    """Writes ROLE.onnx, its table and its example below `folder`/ROLE-VAE."""
    begun = time.monotonic()
    no_tf32()
    system = with_weights(sizes, vae, role, device=device)
    graph = graphs_of(system, sizes)[role]
    tokens = token_counts(sizes)
    place = folder / f"{role}-{vae}"
    place.mkdir(parents=True)
    given = example(graph.inputs, checked_axes(sizes, tokens))
    with torch.no_grad(), torch.device(device):
        outputs = graph.run({name: torch.from_numpy(array).to(device) for name, array in given.items()})
    expected = {name: found.cpu().numpy() for name, found in zip(graph.outputs, outputs, strict=True)}
    np.savez(place / "expected.npz", **expected)  # type: ignore[arg-type]  # numpy's stub takes all names for options
    if sizes.precision == "fp16":
        use_half_precision(system)
    graph = graphs_of(system, sizes)[role]
    # traced where the weights are: a pass of the real width is a second on the GPU, and minutes on a CPU
    files = export_graph(graph, place, device=device, **named_axes(tokens, frames=TRACED_FRAMES, drawn=2, tpc=True))
    (place / "table.toml").write_text(graph_table(graph, files), encoding="utf-8")
    size = sum(file.stat().st_size for file in files) / 1e9
    print(f"made {role} ({vae} VAE): {size:.2f} GB in {time.monotonic() - begun:.0f} s", flush=True)


def assemble(sizes: Sizes, folder: Path) -> None:
    """`folder`/tiny and `folder`/kl: bundles that share all but the autoencoder."""
    for vae in VAES:
        bundle = folder / vae
        bundle.mkdir()
        system = shaped(sizes, vae)
        text = manifest_head(
            system, name=f"bench-{vae}", width=sizes.pixels, height=sizes.pixels, origin="random weights"
        )
        for place in sorted(folder.glob("*-*")):
            role, _, of = place.name.partition("-")
            if of != vae and role in VAE_ROLES:
                continue
            text += (place / "table.toml").read_text(encoding="utf-8")
            for file in place.iterdir():
                if file.name == "expected.npz":
                    _link(file, bundle / f"{role}.npz")
                elif file.name != "table.toml":
                    _link(file, bundle / file.name)
        (bundle / "manifest.toml").write_text(text, encoding="utf-8")


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file, to)
    except OSError:  # a file system without links
        shutil.copy(file, to)


def main(argv: list[str]) -> int:
    sizes, folder, device, *wanted = argv
    chosen: Sizes = {"full": FULL, "rehearsal": REHEARSAL}[sizes]
    precision: Precision = "fp16" if chosen.precision == "fp16" else "fp32"
    assert precision == chosen.precision
    for item in wanted:
        role, _, vae = item.partition(":")
        make_graph(chosen, Path(folder), role, vae, device=device)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
