"""What a plan is good for: change any of it and it is another plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from tpc_stream.manifest import GraphSpec
from tpc_stream.plans.shapes import ProfileShape

LAYOUT = 2
"""What this version of the package puts into a plan besides its graph; 2: sums that tell whether outputs are finite."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The device that a plan is built on and for."""

    name: str
    compute_capability: str
    """Such as "9.0"."""
    driver: str
    """Version of the NVIDIA driver, such as "580.65.06"; the CUDA version that it supports where no more is told."""

    def __str__(self) -> str:
        return f"{self.name}, compute capability {self.compute_capability}, driver {self.driver}"


@dataclass(frozen=True, slots=True)
class PlanKey:
    """All that a plan depends on."""

    graph: str
    """sha256 of the ONNX file."""
    weights: tuple[str, ...]
    """sha256 of each file of weights beside it, in the manifest's order."""
    shapes: tuple[str, ...]
    precision: str
    tensorrt: str
    """The library's version."""
    gpu: Gpu
    layout: int = LAYOUT

    @classmethod
    def of(
        cls, graph: GraphSpec, shapes: tuple[ProfileShape, ...], *, precision: str, tensorrt: str, gpu: Gpu
    ) -> PlanKey:
        """The key of a graph whose hashes were checked when its bundle was opened."""
        return cls(
            graph.sha256, tuple(sha256 for _, sha256 in graph.data), tuple(map(str, shapes)), precision, tensorrt, gpu
        )

    @property
    def text(self) -> str:
        """Canonical JSON: equal keys give equal texts."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """sha256 of `text`, hexadecimal: the name under which the plan is kept."""
        return hashlib.sha256(self.text.encode()).hexdigest()
