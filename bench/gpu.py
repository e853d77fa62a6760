"""`python -m bench gpu`: every GPU backend, graph by graph: does it give what the CPU gives, and how long is a pass.

Without an NVIDIA GPU it says what is missing and exits with code 3. A backend that cannot run is a row that says so.
Inputs are random, of the usual shapes of a pass; a pass is timed by the wall clock, to the host and back.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tpc_stream.backends import open_backend
from tpc_stream.bundle import open_bundle
from tpc_stream.doctor_gpu import gpu_findings
from tpc_stream.engine import Array
from tpc_stream.errors import TpcStreamError
from tpc_stream.manifest import GraphSpec, Manifest
from tpc_stream.plans.find_gpu import find_gpus
from tpc_stream.plans.shapes import profile_shapes

BACKENDS = ("onnxrt:cuda", "onnxrt:tensorrt", "onnxrt:trt-rtx", "trt")
EXIT_NO_GPU = 3
EQUAL_DB = 200.0


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


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__)
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS))
    parser.add_argument("--passes", type=int, default=50, help="timed passes of each graph")
    parser.add_argument("--json", type=Path, help="write the rows there")
    options = parser.parse_args(arguments)
    try:
        card = str(find_gpus()[0])
    except TpcStreamError as error:
        print(f"no GPU to measure: {error}", file=sys.stderr)
        for finding in gpu_findings():
            if not finding.good:
                print(f"  {finding.what}: {finding.detail} -> {finding.mend}".removesuffix(" -> "), file=sys.stderr)
        return EXIT_NO_GPU
    manifest = open_bundle(options.bundle).manifest
    rows = [row for name in options.backends for row in measure(manifest, name, passes=options.passes)]
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


def psnr(expected: Array, found: Array) -> float:
    """dB, [.., 200]; the peak is the range of what is expected. 200 where both are equal."""
    error = float(np.mean((np.asarray(expected, np.float64) - found) ** 2))
    peak = max(float(np.ptp(expected)), 1e-12)
    return min(10 * float(np.log10(peak**2 / max(error, 1e-300))), EQUAL_DB)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
