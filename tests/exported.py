"""The systems at tiny width with random weights, exported once for all tests of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.__main__ import main
from export.systems.random_checkpoint import random_system, write_random_checkpoint
from export.systems.system import AnimationSystem
from export.to_onnx import Graph, Precision
from export.to_onnx_roles import system_graphs
from export.write_bundle import write_system_bundle

NAMES = ("animate-anyone", "magicanimate", "disco", "disco-tm", "dreampose")
SIZE = 128
"""Pixels: at 64 the deepest latents are one cell, whose norms divide rounding errors by nothing."""

BY_COMMAND: tuple[str, Precision, Literal["tiny"]] = ("dreampose", "fp32", "tiny")
"""The one that is made from files, by the command."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle and the torch modules that it was made from, in the same precision."""

    folder: Path
    system: AnimationSystem

    @property
    def graphs(self) -> dict[str, Graph]:
        return {graph.role: graph for graph in system_graphs(self.system, width=SIZE, height=SIZE)}


Export = Callable[..., Exported]


def command(folder: Path) -> list[str]:
    """The command line, less --out, that exports what it writes below `folder`: the same weights as `random_system`."""
    name, precision, vae = BY_COMMAND
    sources = write_random_checkpoint(name, folder / "weights", width=SIZE, height=SIZE, vae_kind=vae)
    return [
        name, "--checkpoint", str(sources.checkpoint), "--clip", str(sources.clip), "--precision", precision,
        "--vae", vae, "--vae-checkpoint", str(sources.vae), "--size", f"{SIZE}x{SIZE}", "--check", "no",
    ]  # fmt: skip


def exporter(folder: Path) -> Export:
    """A function (name, precision, vae) -> Exported that exports each once."""
    made: dict[tuple[str, str, str], Exported] = {}

    def export(name: str, precision: Precision = "fp32", vae: str = "kl") -> Exported:
        key = name, precision, vae
        if key not in made:
            system = random_system(name, width=SIZE, height=SIZE, vae_kind=vae)
            out = folder / "-".join(key)
            if key == BY_COMMAND:
                assert main([*command(folder), "--out", str(out)]) == 0
            else:
                write_system_bundle(
                    system, out, name=name, width=SIZE, height=SIZE, precision=precision, origin="random weights",
                    check=False,
                )  # fmt: skip
            made[key] = Exported(out, system)
        return made[key]

    return export
