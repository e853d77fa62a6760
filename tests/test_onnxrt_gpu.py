"""ONNX Runtime's GPU providers where there is no GPU: what is refused, in which words; what the bound engine gives.

The package here is onnxruntime for the CPU, so that CUDA and TensorRT really are absent. What needs them is marked gpu.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from tests.with_gpu import skip_without_gpu
from tpc_stream.backends import open_backend
from tpc_stream.backends.onnxrt import OnnxRuntimeBackend
from tpc_stream.backends.onnxrt_device import OrtDevice, Place
from tpc_stream.backends.onnxrt_gpu import BoundEngine, OnnxRuntimeGpuBackend
from tpc_stream.backends.onnxrt_providers import PROVIDERS, Provider, nodes_by_provider, open_session
from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.errors import BackendError, EngineError, InputError

CPU = Provider("cpu", "CPUExecutionProvider", "pip install onnxruntime", place=Place("cpu"))
DEVICE = OrtDevice(CPU.place, ort.InferenceSession, told=pytest.fail)


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return open_bundle(tiny)


def no_gpu_package() -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed here")


@pytest.mark.parametrize("setting", ["cuda", "tensorrt"])
def test_a_provider_that_the_package_lacks_is_refused_with_the_command_that_brings_it(setting: str) -> None:
    no_gpu_package()
    with pytest.raises(BackendError, match=f"has no {PROVIDERS[setting].name}.*pip install .onnxruntime-gpu"):
        open_backend(f"onnxrt:{setting}")


def test_an_unknown_provider_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no provider 'opencl'.*onnxrt:cuda, onnxrt:tensorrt, onnxrt:trt-rtx"):
        open_backend("onnxrt:opencl")


def test_the_plug_in_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    with pytest.raises(BackendError, match="pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"):
        open_backend("onnxrt:trt-rtx")


def test_a_plug_in_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "libprovider.so"
    library.write_bytes(b"no library")
    module = SimpleNamespace(get_library_path=lambda: str(library))
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", module)
    with pytest.raises(BackendError, match=r"NvTensorRTRTXExecutionProvider cannot be loaded: .*libprovider\.so"):
        open_backend("onnxrt:trt-rtx")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_session_that_fell_back_to_the_cpu_is_refused(bundle: Bundle) -> None:
    """ONNX Runtime itself opens this session, silently, on the CPU."""
    no_gpu_package()
    path = bundle.manifest.graphs["decode"].path
    fallen = ort.InferenceSession(str(path), providers=["CUDAExecutionProvider"])
    assert fallen.get_providers() == ["CPUExecutionProvider"]
    with pytest.raises(BackendError, match="with CPUExecutionProvider instead of CUDAExecutionProvider"):
        open_session(PROVIDERS["cuda"], path, ort.SessionOptions())


def test_a_provider_that_takes_no_node_is_refused(bundle: Bundle) -> None:
    idle = Provider("azure", "AzureExecutionProvider", "pip install onnxruntime")
    if idle.name not in ort.get_available_providers():
        pytest.skip("this package has no provider that starts and runs nothing")
    with pytest.raises(BackendError, match=r"AzureExecutionProvider takes no node .*CPUExecutionProvider \d+"):
        open_session(idle, bundle.manifest.graphs["decode"].path, ort.SessionOptions())


def test_no_device_for_a_plug_in_is_refused(bundle: Bundle) -> None:
    absent = Provider("x", "NobodysExecutionProvider", "pip install x", plugin="x")
    with pytest.raises(BackendError, match="finds no GPU"):
        open_session(absent, bundle.manifest.graphs["decode"].path, ort.SessionOptions())


@pytest.mark.parametrize("tokens", [64, 0])
def test_binding_gives_what_running_gives(bundle: Bundle, tokens: int) -> None:
    graph = bundle.manifest.graphs["denoise"]
    random = np.random.default_rng(3)
    inputs = {
        "latents": random.standard_normal((4, 3, 8, 8), dtype=np.float32).transpose(1, 0, 2, 3),  # not contiguous
        "timesteps": np.full(3, 0.5, np.float32),
        "pose_features": random.standard_normal((3, 3, 1), dtype=np.float32),
        "reference_00": random.standard_normal((1, 64, 4), dtype=np.float32),
        "calibrated_00": random.standard_normal((1, tokens, 4), dtype=np.float32),
        "calibrated_index": np.zeros(3, np.int64),
    }
    inputs = {name: array for name, array in inputs.items() if name in graph.input_names}
    session = open_session(CPU, graph.path, ort.SessionOptions())
    assert nodes_by_provider(session)["CPUExecutionProvider"] > 0
    bound, plain = BoundEngine(graph, session, DEVICE), OnnxRuntimeBackend(threads=1).open(graph)
    assert np.array_equal(bound(inputs)["output"], plain(inputs)["output"])
    bound.close()
    with pytest.raises(EngineError, match="was closed"):
        bound(inputs)


def test_a_failing_run_names_the_graph_and_the_shapes(bundle: Bundle) -> None:
    graph = bundle.manifest.graphs["decode"]
    engine = BoundEngine(graph, open_session(CPU, graph.path, ort.SessionOptions()), DEVICE)
    with pytest.raises(EngineError, match=r"decode graph on latents float32\[1, 3, 8, 8\]"):
        engine({"latents": np.zeros((1, 3, 8, 8), np.float32)})


def test_where_the_memory_is_full_it_says_what_takes_less(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = bundle.manifest.graphs["decode"]
    engine = BoundEngine(graph, open_session(CPU, graph.path, ort.SessionOptions()), DEVICE)

    def full(binding: object) -> None:
        raise RuntimeError("[E] CUDA failure 2: out of memory ; GPU=0\n(and a page more)")

    monkeypatch.setattr(engine._session, "run_with_iobinding", full)
    with pytest.raises(
        EngineError, match=r"failure 2: out of memory.*; the GPU's memory is full: take a smaller --win"
    ):
        engine({"latents": np.zeros((2, 4, 8, 8), np.float32)})


@pytest.mark.gpu
@pytest.mark.parametrize("setting", list(PROVIDERS))
def test_the_gpu_gives_what_the_cpu_gives(bundle: Bundle, setting: str) -> None:
    skip_without_gpu()
    graph = bundle.manifest.graphs["decode"]
    latents = np.random.default_rng(5).standard_normal((3, 4, 8, 8), dtype=np.float32)
    expected = OnnxRuntimeBackend(threads=1).open(graph)({"latents": latents})
    backend = open_backend(f"onnxrt:{setting}")
    found = backend.open(graph)({"latents": latents})
    assert PROVIDERS[setting].name in backend.describe()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=2e-2)
    assert isinstance(backend, OnnxRuntimeGpuBackend)
    device = backend.device
    assert device.usable, "arrays stay on the GPU"
    sent = device.send(latents)
    together = device.joined([device.rows(sent, 0, 1), device.rows(sent, 1, 3)])
    np.testing.assert_array_equal(device.fetch(together), latents)
    assert device.finite(together) and not device.finite(device.send(np.full((1, 4, 8, 8), np.nan, np.float32)))
