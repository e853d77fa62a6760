"""`python -m export full-width SYSTEM`: the denoiser at its published width, exported, run, and held against torch.

Weights are random; torch and ONNX Runtime each get a process of their own, so that their memory is not held at once.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from tpc_stream.errors import InputError, TpcStreamError

T = TypeVar("T")
NOT_ASKED: dict[str, tuple[str, ...]] = {
    "magicanimate": ("appearance_encoder", "controlnet", "vae"),
    "animate-anyone": ("reference_unet", "pose_guider", "image_encoder", "vae"),
    "disco": ("clip_image_encoder", "vae"),
    "disco-tm": ("clip_image_encoder", "vae"),
    "dreampose": (),
}
"""Networks of each system that its denoise graph has no part of: they get no weights."""
FRAMES = 2
ALLOWED = 1e-4
"""Of the largest value."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the exporting process tells."""

    parameters: int
    bytes_on_disk: int
    torch_seconds: float
    export_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What ONNX Runtime's process tells."""

    error: float
    """Of the largest value."""
    open_seconds: float
    run_seconds: float
    peak_bytes: int


def main(argv: list[str]) -> int:
    """Prints the figures; 0 where the graph gives what torch gives, 1 where not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m export full-width", description=__doc__)
    parser.add_argument("system", choices=tuple(NOT_ASKED))
    parser.add_argument("--size", type=int, default=128, help="pixels on each side; dreampose knows 512x640 alone")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--folder", type=Path, help="where 4 to 11 GB may lie meanwhile; default: the system's own")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
            folder = Path(scratch)
            written = _alone(write_graph, options.system, options.size, folder, options.threads)
            print(
                f"{options.system}: {written.parameters / 1e6:.0f} M parameters, exported in "
                f"{written.export_seconds:.0f} s to {written.bytes_on_disk / 1e9:.2f} GB; torch: {FRAMES} frames of "
                f"{options.size}x{options.size} in {written.torch_seconds:.1f} s, "
                f"peak memory {written.peak_bytes / 1e9:.1f} GB",
                flush=True,
            )
            ran = _alone(run_graph, folder, options.threads)
    except TpcStreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    agrees = ran.error <= ALLOWED
    print(
        f"{options.system}: ONNX Runtime opens it in {ran.open_seconds:.0f} s and runs it in {ran.run_seconds:.1f} s, "
        f"peak memory {ran.peak_bytes / 1e9:.1f} GB; largest difference from torch {ran.error:.1e} of the largest "
        f"value, {'within' if agrees else 'MORE THAN'} {ALLOWED:.0e}"
    )
    return 0 if agrees else 1


def write_graph(name: str, size: int, folder: Path, threads: int) -> Written:
    """Builds, runs in torch and exports; leaves `denoise.onnx` and `example.npz` in `folder`."""
    import torch

    from export.systems.loading import built_on_meta
    from export.systems.random_checkpoint import randomise
    from export.systems.registry import system_class
    from export.systems.vae import build_vae
    from export.systems.widths import SD15, VaeWidths
    from export.to_onnx import export_graph
    from export.to_onnx_roles import system_graphs

    torch.set_num_threads(threads)

    def build() -> torch.nn.Module:
        made = system_class(name)(SD15)
        made.vae = build_vae(VaeWidths())
        return made

    system = built_on_meta(build)
    for child, network in system.named_children():
        if child not in NOT_ASKED[name]:
            randomise(network, seed=0)
    system.eval().requires_grad_(False)
    graph = {item.role: item for item in system_graphs(system, width=size, height=size)}["denoise"]
    axes = {"F": FRAMES, "U": 2} | {
        f"{kind}{k}": tokens for kind in "RK" for k, tokens in enumerate(token_counts(system.feature_names, size // 8))
    }
    example = graph.example(seed=1, **axes)
    begun = time.monotonic()
    (output,) = graph.run(example)
    torch_seconds = time.monotonic() - begun
    np.savez(folder / "example.npz", expected=output.numpy(), **{k: v.numpy() for k, v in example.items()})
    begun = time.monotonic()
    files = export_graph(graph, folder, **(axes | {"F": FRAMES + 1}))
    return Written(
        parameters=sum(p.numel() for p in system.parameters() if not p.is_meta),
        bytes_on_disk=sum(file.stat().st_size for file in files),
        torch_seconds=torch_seconds,
        export_seconds=time.monotonic() - begun,
        peak_bytes=_peak_bytes(),
    )


def run_graph(folder: Path, threads: int) -> Ran:
    """Runs `denoise.onnx` on `example.npz`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    begun = time.monotonic()
    session = onnxruntime.InferenceSession(str(folder / "denoise.onnx"), options, providers=["CPUExecutionProvider"])
    open_seconds = time.monotonic() - begun
    with np.load(folder / "example.npz") as example:
        expected = example["expected"]
        inputs = {item.name: example[item.name] for item in session.get_inputs()}
    begun = time.monotonic()
    (found,) = session.run(None, inputs)
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    return Ran(error, open_seconds, time.monotonic() - begun, _peak_bytes())


def token_counts(names: tuple[str, ...], side: int) -> list[int]:
    """T of one picture's features, for latents of side x side cells; CLIP's 257 where the only feature is tokens."""
    counts = []
    for name in names:
        if name == "tokens":
            counts.append(257)
            continue
        found = re.match(r"(down|mid|up)_blocks?\.?(\d*)", name)
        if found is None:
            raise InputError(f"no level is known of the feature {name!r}")
        level = {"down": int(found[2] or 0), "mid": 3, "up": 3 - int(found[2] or 0)}[found[1]]
        counts.append((-(-side // 2**level)) ** 2)
    return counts


def _alone(function: Callable[..., T], *arguments: object) -> T:
    """What a function returns from a process of its own, whose memory is then free."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future: Future[T] = pool.submit(function, *arguments)
        return future.result()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
