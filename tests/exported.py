"""The systems at tiny width with random weights, exported once for all tests of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.systems.random_checkpoint import random_system
from export.systems.system import AnimationSystem
from export.to_onnx import Graph, Precision
from export.to_onnx_roles import system_graphs
from export.write_bundle import write_system_bundle

NAMES = ("animate-anyone", "magicanimate", "disco", "disco-tm", "dreampose")
SIZE = 128
"""Pixels: at 64 the deepest latents are one cell, whose norms divide rounding errors by nothing."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle and the torch modules that it was made from, in the same precision."""

    folder: Path
    system: AnimationSystem

    @property
    def graphs(self) -> dict[str, Graph]:
        return {graph.role: graph for graph in system_graphs(self.system, width=SIZE, height=SIZE)}


Export = Callable[..., Exported]


def exporter(folder: Path) -> Export:
    """A function (name, precision, vae) -> Exported that exports each once."""
    made: dict[tuple[str, str, str], Exported] = {}

    def export(name: str, precision: Precision = "fp32", vae: str = "kl") -> Exported:
        key = name, precision, vae
        if key not in made:
            system = random_system(name, width=SIZE, height=SIZE, vae_kind=vae)
            out = folder / "-".join(key)
            write_system_bundle(
                system, out, name=name, width=SIZE, height=SIZE, precision=precision, origin="random weights",
                check=False,
            )  # fmt: skip
            made[key] = Exported(out, system)
        return made[key]

    return export
