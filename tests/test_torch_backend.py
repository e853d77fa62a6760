"""The backend torch on the CPU: the graphs as torch programs, against ONNX Runtime; what it refuses, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.exported import NAMES, exporter
from tpc_stream.backends import open_backend
from tpc_stream.backends.torch_backend import TorchBackend
from tpc_stream.backends.torch_program import Programs
from tpc_stream.backends.torch_read import read_network
from tpc_stream.backends.torch_settings import TorchSettings
from tpc_stream.bundle import open_bundle
from tpc_stream.engine import Array, placing, run
from tpc_stream.errors import BackendError, BundleError, EngineError, InputError
from tpc_stream.manifest import GraphSpec, TensorSpec
from tpc_stream.resident import Resident, as_terms, joined, on_host, rows, settled, zeros_like

ALLOWED = 1e-4
"""Of the largest value."""


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(graph: GraphSpec, **axes: int) -> dict[str, Array]:
    """Random inputs; `axes`: lengths of named axes, or of all whose name begins so; else 2."""
    random = np.random.default_rng(3)
    made: dict[str, Array] = {}
    for spec in graph.inputs:
        shape = [n if isinstance(n, int) else axes.get(n, axes.get(n[0], 2)) for n in spec.shape]
        if spec.dtype == "int64":
            made[spec.name] = random.integers(0, axes.get("U", 2), shape)
        elif spec.name in ("timesteps", "keypoints", "mattes", "pose_images"):
            made[spec.name] = random.random(shape, dtype=np.float32)
        else:
            made[spec.name] = random.standard_normal(shape, dtype=np.float32)
    return made


def difference(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """The worst output's, of its largest value; the shapes and types must be the same."""
    worst = 0.0
    for name, array in wanted.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        if array.size:
            worst = max(worst, float(np.abs(found[name] - array).max() / np.abs(array).max()))
    return worst


CASES = ({"F": 3, "N": 2, "U": 2, "R": 5, "C": 7, "K": 7}, {"F": 1, "N": 1, "U": 1, "R": 4, "C": 0, "K": 0})


def test_every_graph_of_the_default_bundle() -> None:
    ours, theirs = open_backend("torch:cpu", threads=1), open_backend("onnxrt", threads=1)
    for graph in open_bundle().manifest.graphs.values():
        mine, other = ours.open(graph), theirs.open(graph)
        for case in CASES:
            inputs = drawn(graph, **case)
            assert difference(mine(inputs), other(inputs)) < ALLOWED, graph.role
    assert "CPU" in ours.describe()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", NAMES)
def test_every_graph_of_the_systems(name: str, precision: str, tmp_path: Path) -> None:
    ours, theirs = open_backend("torch:cpu", threads=1), open_backend("onnxrt", threads=1)
    for graph in open_bundle(exporter(tmp_path)(name, precision).folder).manifest.graphs.values():
        inputs = drawn(graph, **CASES[0])
        # torch and ONNX Runtime round half precision at different places
        allowed = ALLOWED if precision == "fp32" else 5e-2
        assert difference(ours.open(graph)(inputs), theirs.open(graph)(inputs)) < allowed, graph.role


def test_what_exporting_took_apart_is_whole_again() -> None:
    graph = open_bundle().manifest.graphs["denoise"]
    programs = Programs(graph, device=torch.device("cpu"), precision=None, channels_last=False)
    program = programs.make({name: array.shape for name, array in drawn(graph, **CASES[0]).items()})
    assert isinstance(program, torch.fx.GraphModule)
    called = [getattr(node.target, "__name__", "") for node in program.graph.nodes if node.op == "call_function"]
    assert called.count("scaled_dot_product_attention") == 5 and called.count("group_norm") == 22
    assert called.count("gelu") == 5 and called.count("silu") == 19 and called.count("layer_norm") == 5
    assert not {"softmax", "erf", "sigmoid", "matmul"} & set(called)
    # all that is left of it runs on the device: no shape is worked out in the program
    assert not [node for node in program.graph.nodes if "size" in str(node.target)]


@pytest.mark.parametrize(("precision", "allowed"), [("fp16", 0.02), ("bf16", 0.1)])
def test_half_precision_whatever_the_graph_says(precision: str, allowed: float) -> None:
    graph = open_bundle().manifest.graphs["denoise"]
    inputs = drawn(graph, **CASES[0])
    whole = open_backend("torch:cpu", threads=1).open(graph)(inputs)
    half = open_backend(f"torch:cpu,precision={precision}", threads=1).open(graph)(inputs)
    assert 1e-5 < difference(half, whole) < allowed


def test_arrays_stay_where_they_are() -> None:
    """What the loop does between two graphs, on the device and with NumPy."""
    backend, graphs = open_backend("torch:cpu", threads=1), open_bundle().manifest.graphs
    engine = backend.open(graphs["pose"])
    device = placing(engine)
    assert device is not None and placing(backend.open(graphs["decode"])) is device
    inputs = drawn(graphs["pose"], F=3)
    there, here = run(engine, inputs, graph="pose")["pose_features"], engine(inputs)["pose_features"]
    assert isinstance(there, Resident) and there.shape == here.shape and device.finite(there)
    np.testing.assert_array_equal(on_host(joined([rows(there, 1, 3), here])), np.concatenate([here[1:], here]))
    weight = np.array([0.0, 1.0, 2.0], dtype=np.float32)[:, None, None, None]
    mixed = on_host(settled(weight * as_terms(there) + as_terms(zeros_like(there))))
    np.testing.assert_allclose(mixed, weight * here, rtol=1e-6)
    assert not device.finite(device.send(np.array([1.0, np.nan], dtype=np.float32)))


def test_a_copy_is_made_of_what_comes_and_goes() -> None:
    device = placing(open_backend("torch:cpu").open(open_bundle().manifest.graphs["pose"]))
    assert device is not None
    array = np.ones((2, 3), dtype=np.float32)
    sent = device.send(array)
    array[:] = 5
    device.fetch(sent)[:] = 7
    assert device.fetch(sent).tolist() == np.ones((2, 3)).tolist()


def test_closed_and_wrongly_fed_engines() -> None:
    graph = open_bundle().manifest.graphs["pose"]
    engine = open_backend("torch:cpu").open(graph)
    with pytest.raises(EngineError, match="takes keypoints, got points"):
        engine({"points": np.zeros((1, 17, 3), np.float32)})
    with pytest.raises(EngineError, match=r"takes keypoints: float32\[F, 17, 3\], got float64\[1, 17, 3\]"):
        engine({"keypoints": np.zeros((1, 17, 3))})
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine({"keypoints": np.zeros((1, 17, 3), np.float32)})


def test_settings() -> None:
    chosen = TorchSettings.parse("cuda,precision=bf16,graphs=on,channels_last=0")
    assert chosen == TorchSettings(device="cuda", precision="bf16", graphs=True, channels_last=False)
    for text in ("", "gpu", "cuda,precision=int8", "cuda,graphs=yes", "cuda,speed=1"):
        with pytest.raises(InputError, match="torch:cuda or torch:cpu"):
            TorchSettings.parse(text)
    with pytest.raises(InputError, match="no CUDA graphs"):
        TorchSettings.parse("cpu,graphs=1")


def test_float32_for_a_second_try() -> None:
    """What --retry-precision asks of a backend; see `tpc_stream.retry`."""
    half = TorchBackend(TorchSettings.parse("cpu,precision=fp16"))
    whole = half.in_float32()
    assert whole.settings.precision == "fp32" and whole.device is half.device
    with pytest.raises(InputError, match="in float32 already"):
        whole.in_float32()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_never_the_cpu() -> None:
    with pytest.raises(BackendError, match=r"without CUDA|finds no GPU"):
        open_backend("torch:cuda")


def made(folder: Path, *nodes: onnx.NodeProto, weight: onnx.TensorProto | None = None) -> GraphSpec:
    """A graph x -> y of float32 [N, 4]."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], [weight] if weight is not None else [])
    path = folder / "made.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    tensors = [TensorSpec(name, "float32", ("N", 4)) for name in "xy"]
    return GraphSpec("pose", path, "", (tensors[0],), (tensors[1],))


def test_an_operator_that_is_not_known(tmp_path: Path) -> None:
    engine = open_backend("torch:cpu").open(made(tmp_path, helper.make_node("Hardmax", ["x"], ["y"], name="last")))
    with pytest.raises(BackendError, match=r"made.onnx: node last \(Hardmax\).*use --backend onnxrt"):
        engine({"x": np.zeros((2, 4), np.float32)})


def test_a_shape_that_a_node_does_not_take(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((3, 4), np.float32), "w")
    engine = open_backend("torch:cpu").open(
        made(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"], name="m"), weight=weight)
    )
    with pytest.raises(EngineError, match=r"pose graph does not take these shapes: node m \(MatMul\)"):
        engine({"x": np.zeros((2, 4), np.float32)})


def test_weights_beside_the_graph(tmp_path: Path) -> None:
    """Only files that the manifest names, whose hashes were checked with the bundle, and only within them."""
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    weight = numpy_helper.from_array(values, "w")
    (tmp_path / "made.onnx.data").write_bytes(b"\0" * 64 + values.tobytes())
    onnx.external_data_helper.set_external_data(weight, location="made.onnx.data", offset=64, length=64)
    weight.ClearField("raw_data")
    graph = made(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), weight=weight)
    named = replace(graph, data=((tmp_path / "made.onnx.data", ""),))
    x = np.ones((3, 4), np.float32)
    np.testing.assert_allclose(open_backend("torch:cpu").open(named)({"x": x})["y"], x @ values)
    with pytest.raises(BundleError, match=r"w lies in 'made.onnx.data', which the manifest does not name"):
        read_network(graph)
    (tmp_path / "made.onnx.data").write_bytes(b"\0" * 100)
    with pytest.raises(BundleError, match="w ends after the end"):
        read_network(named)


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    graph = made(tmp_path, helper.make_node("Identity", ["x"], ["y"]))
    graph.path.write_bytes(b"no protobuf")
    with pytest.raises(BackendError, match="cannot be read as ONNX"):
        open_backend("torch:cpu").open(graph)


def test_pictures_are_filled_up_to_few_programs() -> None:
    """Iterative Propagation draws how many pictures a window encodes: not each number has a program of its own."""
    graph = open_bundle().manifest.graphs["encode"]
    engine, theirs = open_backend("torch:cpu", threads=1).open(graph), open_backend("onnxrt", threads=1).open(graph)
    for count in (5, 7, 8):
        inputs = drawn(graph, N=count)
        assert difference(engine(inputs), theirs(inputs)) < ALLOWED
    assert len(engine._made) == 1  # type: ignore[attr-defined]
