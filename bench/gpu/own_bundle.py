"""`python -m bench gpu --bundle NAME`: a bundle of yours, graph by graph: does a backend give what the CPU gives.

A backend that cannot run is a row that says so.
Inputs are random, of the usual shapes of a pass; a pass is timed by the wall clock, to the host and back.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.gpu.examples import psnr
from tpc_stream.backends import open_backend
from tpc_stream.bundle import open_bundle
from tpc_stream.engine import Array
from tpc_stream.errors import TpcStreamError
from tpc_stream.manifest import GraphSpec, Manifest
from tpc_stream.plans.find_gpu import find_gpus
from tpc_stream.plans.shapes import profile_shapes

BACKENDS = ("torch:cuda", "onnxrt:cuda", "onnxrt:tensorrt", "onnxrt:trt-rtx", "trt")
EXIT_NO_GPU = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One graph on one backend."""

    backend: str
    role: str
    psnr_db: float | None = None
    """Of the worst output against ONNX Runtime on the CPU, the peak being the output's own range."""
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    absent: str = ""
    """Why there are no figures."""


def main(options: Any) -> int:
    """`options`: bundle, backends, passes, json."""
    try:
        card = str(find_gpus()[0])
    except TpcStreamError as error:
        print(f"no GPU to measure: {error}", file=sys.stderr)
        return EXIT_NO_GPU
    manifest = open_bundle(options.bundle).manifest
    names = options.backends or BACKENDS
    rows = [row for name in names for row in measure(manifest, name, passes=options.passes)]
    print(f"{manifest.name} on {card}, {options.passes} passes\n\n{table(rows)}")
    if options.json is not None:
        found = {"card": card, "bundle": manifest.name, "passes": options.passes, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def measure(manifest: Manifest, backend: str, *, passes: int) -> list[Row]:
    """A row for each graph; one row that says why, where the backend cannot run here."""
    rows = []
    try:
        opener, cpu = open_backend(backend), open_backend("onnxrt")
        for role, graph in manifest.graphs.items():
            inputs = example(manifest, graph)
            expected_by, engine = cpu.open(graph), opener.open(graph)
            expected, found = expected_by(inputs), engine(inputs)
            seconds = []
            for _ in range(passes):
                began = time.perf_counter()
                engine(inputs)
                seconds.append(time.perf_counter() - began)
            p50, p90, p99 = (float(ms) for ms in 1e3 * np.percentile(seconds, (50, 90, 99)))
            rows.append(Row(backend, role, min(psnr(expected[k], found[k]) for k in expected), p50, p90, p99))
            engine.close()
            expected_by.close()
    except TpcStreamError as error:
        rows.append(Row(backend, "-", absent=str(error)))
    return rows


def example(manifest: Manifest, graph: GraphSpec) -> dict[str, Array]:
    """Random inputs of the shapes that are usual in a pass, the same for every backend."""
    random = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for spec, shape in zip(graph.inputs, profile_shapes(manifest, graph), strict=True):
        if np.issubdtype(np.dtype(spec.dtype), np.integer):
            made[spec.name] = np.zeros(shape.usual, spec.dtype)
        else:
            made[spec.name] = random.uniform(0, 1, shape.usual).astype(spec.dtype)
    return made


def table(rows: list[Row]) -> str:
    """Markdown; what was not measured says so."""
    lines = ["| backend | graph | PSNR, dB | p50, ms | p90 | p99 |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row.absent:
            lines.append(f"| {row.backend} | not measured | {row.absent} | | | |")
            continue
        cells = [f"{row.psnr_db:.1f}", f"{row.p50_ms:.2f}", f"{row.p90_ms:.2f}", f"{row.p99_ms:.2f}"]
        lines.append(f"| {row.backend} | {row.role} | {' | '.join(cells)} |")
    return "\n".join(lines)
