"""`--retry-precision fp32`: a pass that went wrong is made once more, by a stand-in backend with a sound twin."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.synthetic import body, frame, portrait
from tests.test_engine_faults import SpoilingBackend
from tests.test_residency import keeping
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream import pipeline
from tpc_stream.backends.onnxrt import OnnxRuntimeBackend
from tpc_stream.backends.onnxrt_gpu import OnnxRuntimeGpuBackend
from tpc_stream.backends.onnxrt_providers import PROVIDERS
from tpc_stream.bundle import open_bundle
from tpc_stream.cli import main
from tpc_stream.engine import Backend, Engine, run
from tpc_stream.errors import BundleError, EngineError, InputError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.manifest import GraphSpec
from tpc_stream.onnx_weights import holds_half_precision
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.retry import RetryingEngine

WINDOW = 4


class HalfBackend(SpoilingBackend):
    """A STAND-IN for a backend that goes wrong in half precision, with a twin in float32."""

    def __init__(self, role: str, output: str, value: float, *, good_passes: int, twin: Backend | None = None) -> None:
        super().__init__(role, output, value, good_passes=good_passes)
        self.twin = twin or OnnxRuntimeBackend(threads=1)

    def in_float32(self) -> Backend:
        return self.twin


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", window=WINDOW)


def _animate(
    folder: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch, retry: str | None = "fp32"
) -> tuple[list[np.ndarray], dict[str, int]]:
    def poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for item in frames:
            height, width = item.image.shape[:2]
            yield PosedFrame(item, body(width, height))

    monkeypatch.setattr(pipeline, "open_backend", lambda name, threads: backend)
    options = AnimateOptions(bundle=folder, steps=2, retry_precision=retry)  # type: ignore[arg-type]
    with Animator(options, pose_stage=poses) as animator:
        animator.portrait = portrait(256, 256)
        made = [item.image for item in animator.animate(frame(k) for k in range(2 * WINDOW))]
        return made, dict(animator.profiler.session().counters)


@pytest.mark.parametrize(
    ("role", "output", "value", "passes", "words"),
    [
        ("denoise", "output", float("nan"), 2, "output held NaN or infinity"),
        ("decode", "images", -1.0, 1, "the pictures were black everywhere"),
    ],
)
def test_a_pass_that_went_wrong_is_made_once_more_and_told(
    folder: Path,
    role: str,
    output: str,
    value: float,
    passes: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wanted, counted = _animate(folder, OnnxRuntimeBackend(threads=1), monkeypatch, retry=None)
    assert not [name for name in counted if "repeated" in name]
    good = 2 if role == "denoise" else 1
    with caplog.at_level(logging.WARNING):
        found, counted = _animate(folder, HalfBackend(role, output, value, good_passes=good), monkeypatch)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert counted[f"{role} passes repeated in float32"] == passes
    told = [record.message for record in caplog.records if "once more" in record.message]
    assert told == [f"a pass of the {role} graph is made once more in float32: {words}"] * passes


def test_a_second_fault_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = SpoilingBackend("denoise", "output", float("nan"), good_passes=0)
    backend = HalfBackend("denoise", "output", float("nan"), good_passes=2, twin=spoilt)
    with pytest.raises(EngineError, match=r"the denoise graph gave .* NaN or infinite"):
        _animate(folder, backend, monkeypatch)
    assert spoilt.passes == 1, "one retry"


def test_without_the_option_a_fault_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"the denoise graph gave .* NaN or infinite"):
        _animate(folder, HalfBackend("denoise", "output", float("nan"), good_passes=2), monkeypatch, retry=None)


def test_arrays_on_a_device_are_retried_there(tmp_path: Path) -> None:
    sound, broken = (open_bundle(make_tiny_bundle(tmp_path / name, nan=name == "b")).manifest.graphs for name in "ab")
    backend = keeping()
    told: list[tuple[str, str]] = []
    opened: list[str] = []

    def spare() -> Engine:
        opened.append("denoise")
        return backend.open(sound["denoise"])

    engine = RetryingEngine("denoise", backend.open(broken["denoise"]), spare, lambda *fault: told.append(fault))
    latents = backend.device.send(np.ones((2, 4, 8, 8), np.float32))
    inputs = {
        "latents": latents,
        "timesteps": np.zeros(2, np.float32),
        "pose_features": np.zeros((2, 3, 1), np.float32),
        "reference_00": np.ones((1, 64, 4), np.float32),
        "calibrated_00": np.ones((1, 64, 4), np.float32),
        "calibrated_index": np.zeros(2, np.int64),
    }
    for count in (1, 2):
        found = run(engine, inputs, graph="denoise")["output"]
        np.testing.assert_allclose(backend.device.fetch(found), 1, atol=1e-5)  # type: ignore[arg-type]
        assert told == [("denoise", "output held NaN or infinity")] * count
    assert opened == ["denoise"]
    engine.close()


def test_a_backend_without_another_precision_is_refused_at_the_start(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="backend onnxrt has no other float32"):
        Animator(AnimateOptions(bundle=folder, retry_precision="fp32"))
    with pytest.raises(InputError, match="repeated in fp32 or not at all, got 'fp64'"):
        AnimateOptions(retry_precision="fp64")  # type: ignore[arg-type]
    twin = OnnxRuntimeGpuBackend.__new__(OnnxRuntimeGpuBackend)
    twin._provider = PROVIDERS["tensorrt"]
    with pytest.raises(InputError, match="TensorrtExecutionProvider cannot be told to keep float32"):
        twin.in_float32()
    twin._provider = PROVIDERS["cuda"]
    assert twin.in_float32()._provider.options == {"use_tf32": "0"}
    with pytest.raises(SystemExit) as ended:
        main(["animate", "--help"])
    assert ended.value.code == 0 and "--retry-precision" in capsys.readouterr().out


def test_a_bundle_in_half_precision_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpc_stream.retry.holds_half_precision", lambda path: path.name == "denoise.onnx")
    backend = HalfBackend("denoise", "output", 0.0, good_passes=9)
    with pytest.raises(InputError, match=r"holds half precision itself \(denoise\.onnx\).*--precision fp32"):
        _animate(make_tiny_bundle(tmp_path / "tiny", window=WINDOW), backend, monkeypatch)


def _graph(*nodes: onnx.NodeProto, weights: np.ndarray | None = None) -> onnx.ModelProto:
    held = [] if weights is None else [numpy_helper.from_array(weights, "w")]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 300]) for name in "xy")
    return helper.make_model(helper.make_graph(list(nodes), "g", [x], [y], held))


def test_half_precision_is_found_in_weights_casts_and_constants(folder: Path, tmp_path: Path) -> None:
    graphs: dict[str, GraphSpec] = {str(k): v for k, v in open_bundle(folder).manifest.graphs.items()}
    assert not any(holds_half_precision(graph.path) for graph in graphs.values())
    whole = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    half = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(3, np.float16)))
    other = helper.make_node("Gather", ["x", "x"], ["h"], axis=10)  # 10 is also the number of float16
    for model, found in (
        (_graph(whole, weights=np.zeros(400, np.float32)), False),
        (_graph(other, whole), False),
        (_graph(half, whole), True),
        (_graph(constant, whole), True),
        (_graph(whole, weights=np.zeros(400, np.float16)), True),
    ):
        path = tmp_path / "graph.onnx"
        onnx.save(model, str(path))
        assert holds_half_precision(path) is found
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BundleError, match=r"graph\.onnx cannot be read as an ONNX graph"):
        holds_half_precision(path)
