"""Our numbers against a set's: the largest error of every output, and whether it may be so large."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from export.golden.golden_set import GoldenSet
from tpc_stream.errors import CheckpointError

RUNS: dict[str, tuple[str, str]] = {
    "magicanimate": ("export.golden.magicanimate", "MagicAnimateRun"),
    "animate-anyone": ("export.golden.animate_anyone", "AnimateAnyoneRun"),
    "disco": ("export.golden.disco", "DisCoRun"),
    "disco-tm": ("export.golden.disco", "DisCoRun"),
    "dreampose": ("export.golden.dreampose", "DreamPoseRun"),
}
FLOAT64 = 1e-9
FLOAT64_DREAMPOSE_LOOP = 5e-6
FLOAT32 = 3e-5
FLOAT32_DREAMPOSE_STRONG_LOOP = 2e-3
STRONG = 1.0
"""Guidance above which DreamPose's loop amplifies rounding; its two published settings are 0.5/0.5 and 8/3."""


@dataclass(frozen=True, slots=True)
class Row:
    """One output in one precision."""

    name: str
    precision: str
    against: str
    """float64 or float32: the authors' run that it is compared with."""
    error: float
    """The largest difference, relative to the largest value; inf where there is nothing to compare."""
    tolerance: float
    remark: str = ""

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    def __str__(self) -> str:
        mark = "ok  " if self.passed else "FAIL"
        shown = self.remark or f"{self.error:9.2e}"
        return f"{mark} {self.precision} {shown}  (<= {self.tolerance:.0e}, {self.against})  {self.name}"


def compare(golden: GoldenSet, dtype: torch.dtype) -> Iterator[Row]:
    """A row for every output of the set; one that we do not compute fails.

    The float64 run is held against the authors' float64 outputs, and against their float32 ones where the set keeps no
    others; the float32 run against the float32 outputs.
    """
    module, cls = RUNS[golden.system]
    precision = str(dtype).removeprefix("torch.")
    left = dict.fromkeys(golden.names)
    try:
        with torch.no_grad():
            for name, tensor in getattr(importlib.import_module(module), cls)(golden, dtype).compute():
                if name in left:
                    del left[name]
                    yield _row(golden, name, tensor, precision)
    except KeyError as error:
        raise CheckpointError(f"{golden.folder}: the set lacks {error}") from error
    for name in left:
        yield Row(name, precision, "-", float("inf"), tolerance(golden, name, precision), "not computed")


def tolerance(golden: GoldenSet, name: str, against: str) -> float:
    """The largest error that an output may have, against the authors' run of that precision."""
    loop = golden.system == "dreampose" and name.startswith("pipeline/")
    if against == "float64":
        return FLOAT64_DREAMPOSE_LOOP if loop else FLOAT64
    pipeline = golden.config.get("pipeline", {})
    strong = loop and max(pipeline.get("s1", 0), pipeline.get("s2", 0)) > STRONG
    return FLOAT32_DREAMPOSE_STRONG_LOOP if strong else FLOAT32


def _row(golden: GoldenSet, name: str, tensor: Tensor, precision: str) -> Row:
    exact = golden.outputs.get(f"f64/{name}") if precision == "float64" else None
    against = "float32" if exact is None else "float64"
    wanted = golden.outputs.get(name) if exact is None else exact
    limit = tolerance(golden, name, against)
    if wanted is None or tensor.shape != wanted.shape:
        shapes = f"shape {tuple(tensor.shape)}, not {None if wanted is None else tuple(wanted.shape)}"
        return Row(name, precision, against, float("inf"), limit, shapes)
    difference = (tensor.double() - wanted.double()).abs().max().item()
    largest = wanted.double().abs().max().item()
    error = difference / largest if largest else difference
    return Row(name, precision, against, error if error == error else float("inf"), limit)
