"""The backend torch on an NVIDIA GPU: skips without one, fails where TPC_REQUIRE_GPU=1. Never run so far."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.with_gpu import skip_without_gpu
from tpc_stream.backends import open_backend
from tpc_stream.bundle import open_bundle
from tpc_stream.engine import Array, run
from tpc_stream.manifest import GraphSpec

pytestmark = pytest.mark.gpu


def example(graph: GraphSpec, *, frames: int) -> dict[str, Array]:
    random = np.random.default_rng(1)
    made: dict[str, Array] = {}
    for spec in graph.inputs:
        shape = [n if isinstance(n, int) else {"F": frames, "N": frames, "U": 2}.get(n, 64) for n in spec.shape]
        made[spec.name] = random.random(shape).astype(spec.dtype)
    return made


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ("", 5e-3),  # TensorFloat-32 in convolutions
        (",channels_last=off", 5e-3),
        (",precision=fp16", 2e-2),
        (",precision=bf16", 1e-1),
        (",precision=fp16,graphs=on", 2e-2),
        (",precision=fp16,compile=on", 2e-2),
        (",precision=fp16,compile=on,graphs=on", 2e-2),
    ],
)
def test_every_graph_gives_what_the_cpu_gives(settings: str, allowed: float, caplog: pytest.LogCaptureFixture) -> None:
    """Twice with other values, since a recording must read what it is given anew."""
    skip_without_gpu()
    ours, theirs = open_backend(f"torch:cuda{settings}"), open_backend("onnxrt")
    with caplog.at_level(logging.WARNING):
        for graph in open_bundle().manifest.graphs.values():
            mine, other = ours.open(graph), theirs.open(graph)
            inputs = example(graph, frames=3)
            for factor in (1.0, 0.5):
                given = {k: v if v.dtype == np.int64 else (v * factor).astype(v.dtype) for k, v in inputs.items()}
                found, wanted = mine(given), other(given)
                for name, array in wanted.items():
                    assert np.abs(found[name] - array).max() <= allowed * np.abs(array).max(), (graph.role, name)
    assert not caplog.records, "nothing was recorded in vain"


def test_arrays_stay_on_the_gpu() -> None:
    skip_without_gpu()
    graph = open_bundle().manifest.graphs["pose"]
    there = run(open_backend("torch:cuda").open(graph), example(graph, frames=2), graph="pose")["pose_features"]
    assert there.data.is_cuda  # type: ignore[union-attr]
