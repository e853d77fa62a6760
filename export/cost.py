"""`python -m export cost SYSTEM ...`: what calibration costs a frame, counted from the networks at their real width."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from export.counting import Work, counted
from export.systems.loading import built_on_meta
from export.systems.registry import SYSTEMS, system_class
from export.systems.system import AnimationSystem
from export.systems.vae import build_vae
from export.systems.widths import SD15, VaeWidths
from export.to_onnx import Graph
from export.to_onnx_roles import system_graphs
from tpc_stream.errors import InputError, TpcStreamError
from tpc_stream.guidance import guidance_passes
from tpc_stream.manifest import GuidanceSpec

PAPER = "3-14 %"
"""What the paper says that calibration adds, over the systems it tries."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one frame, from its calibrated picture's encoding to its decoding."""

    without: Work
    encoded: Work
    """VAE and image encoder or reference network on calibrated pictures."""
    attended: Work
    """Keys and values made of c_i, and attention to them."""

    @property
    def extra(self) -> Work:
        return self.encoded + self.attended


def main(argv: list[str]) -> int:
    """Prints a table; 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m export cost", description=__doc__)
    parser.add_argument("systems", nargs="+", choices=(*SYSTEMS, "all"), metavar="SYSTEM", help="a name, or all")
    parser.add_argument("--size", type=int, default=512, help="pixels on each side")
    parser.add_argument("--steps", type=int, help="denoising steps; default: the authors'")
    parser.add_argument("--group-size", type=int, default=4, help="frames that share calibrated features at a step")
    options = parser.parse_args(argv)
    names = tuple(SYSTEMS) if "all" in options.systems else tuple(options.systems)
    print(f"A frame of {options.size}x{options.size}, groups of {options.group_size}, half precision; GMAC and GB")
    print("system           steps  passes   without TPC        encoding c_i       attending to c_i   extra operations")
    try:
        for name in names:
            system = real_system(name, size=options.size)
            steps = options.steps or system.traits.sampling.steps
            cost = frame_cost(system, size=options.size, steps=steps, group_size=options.group_size)
            parts = "  ".join(
                f"{work.multiply_adds / 1e9:8.1f} {work.bytes / 1e9:7.2f} "
                for work in (cost.without, cost.encoded, cost.attended)
            )
            share = cost.extra.multiply_adds / cost.without.multiply_adds
            moved = cost.extra.bytes / cost.without.bytes
            print(f"{name:15s} {steps:6d} {_passes(system):7d}  {parts}  {share:6.1%} (bytes {moved:.1%})", flush=True)
    except TpcStreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The paper: {PAPER}.")
    return 0


def real_system(name: str, *, size: int) -> AnimationSystem:
    """A system at its published width, without memory."""
    options: dict[str, Any] = {"latent_cells": (size // 16) ** 2} if name == "dreampose" else {}

    def build() -> AnimationSystem:
        made: AnimationSystem = system_class(name)(SD15, **options)
        made.vae = build_vae(VaeWidths())
        return made

    return built_on_meta(build)


def frame_cost(system: AnimationSystem, *, size: int, steps: int, group_size: int) -> Cost:
    """A frame's share of a window's work, guided as the authors guide; what is done once a video is left out.

    Every frame of a group is drawn at some step or other in m (1 - (1 - 1/m)^steps) of m cases.

    Args:
        size: pixels on each side.
        steps: of denoising.
        group_size: m. Errors: InputError where it does not divide the system's window.
    """
    frames = system.traits.window
    if group_size < 1 or frames % group_size:
        raise InputError(f"a window of {system.traits.name} has {frames} frames: {group_size = } does not divide it")
    if steps < 1:
        raise InputError(f"at least one step is made, got {steps = }")
    with next(system.parameters()).device:
        graphs = {graph.role: graph for graph in system_graphs(system, width=size, height=size)}
    features = graphs["reference" if system.traits.kind == "bank" else "tokens"]
    drawn = frames // group_size
    if "timesteps" in features.inputs:  # written anew at each step, r with them
        written, reference = _per_frame(features, frames, N=drawn) * steps, _per_frame(features, frames, N=1) * steps
    else:
        distinct = frames * (1 - (1 - 1 / group_size) ** steps)
        written, reference = _per_frame(features, 1, N=1) * (distinct / frames), Work()
    encoded = Work()
    if {"latents", "images"} & set(features.inputs):
        distinct = frames * (1 - (1 - 1 / group_size) ** steps)
        encoded = _per_frame(graphs["encode"], 1, N=1) * (distinct / frames)
    follows = bool({"latents", "timesteps"} & set(graphs["pose"].inputs))
    pose = _per_frame(graphs["pose"], frames, F=frames) * (steps if follows else 1)
    with_reference, unconditional = _pass_counts(system)
    counts = _token_counts(features)
    own = {f"R{k}": count for k, count in enumerate(counts)}
    nothing = dict.fromkeys((f"K{k}" for k in range(len(counts))), 0)
    shown = {f"K{k}": count for k, count in enumerate(counts)}
    blank = dict.fromkeys(own, 0) if system.traits.kind == "bank" else own
    denoise = graphs["denoise"]
    conditional = _per_frame(denoise, frames, F=frames, U=drawn, **own, **nothing)
    calibrated = _per_frame(denoise, frames, F=frames, U=drawn, **own, **shown)
    other = _per_frame(denoise, frames, F=frames, U=1, **blank, **nothing)
    loop = conditional * (with_reference * steps) + other * (unconditional * steps)
    return Cost(
        without=loop + pose + reference + _per_frame(graphs["decode"], frames, F=frames),
        encoded=encoded + written,
        attended=(calibrated - conditional) * (with_reference * steps),
    )


def _passes(system: AnimationSystem) -> int:
    return sum(_pass_counts(system))


def _pass_counts(system: Any) -> tuple[int, int]:
    """Passes of guidance a step that are shown r and c_i, and those that are not."""
    adapts = hasattr(system, "adapter")
    spec = GuidanceSpec(
        kind="reference_and_pose" if adapts else "reference",
        reference_scale=system.image_guidance_scale if adapts else 1.0,
    )
    passes = guidance_passes(spec, scale=system.traits.sampling.guidance_scale)
    return sum(item.reference for item in passes), sum(not item.reference for item in passes)


def _token_counts(features: Graph) -> list[int]:
    """T of each feature of one picture, as the network writes it."""
    with torch.no_grad():
        written = features.run(_example(features, N=1))
    names = [name for name in features.outputs if not name.startswith("unconditional")]
    return [tensor.shape[1] for tensor, _ in zip(written, names, strict=False)]


def _per_frame(graph: Graph, frames: int, **axes: int) -> Work:
    example = _example(graph, **axes)
    with next(iter(example.values())).device:  # what the graph makes itself lies beside what it is given
        return counted(lambda: graph.run(example)) * (1 / frames)


def _example(graph: Graph, **axes: int) -> dict[str, Tensor]:
    """Zeros, where the network is."""
    device = next((p.device for p in graph.module.parameters()), torch.device("cpu"))
    return {
        name: torch.zeros(
            [axes[axis] if isinstance(axis, str) else axis for axis in shape],
            dtype=torch.int64 if graph.dtype(name) == "int64" else torch.float32,
            device=device,
        )
        for name, shape in graph.inputs.items()
    }
