"""The TensorRT backend with the library absent, and with a stand-in that notes what is called (stand_in_tensorrt.py).

What TensorRT itself makes of it only a GPU can tell: those tests are marked gpu.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.stand_in_cuda import Recorded, StandInDriver
from tests.stand_in_tensorrt import stand_in
from tests.synthetic import body, frame, portrait
from tests.tiny_bundle import make_tiny_bundle
from tests.with_gpu import skip_without_gpu
from tpc_stream.backends import open_backend
from tpc_stream.backends import trt as backend_module
from tpc_stream.backends.trt import TensorRTBackend, TrtSettings
from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.cli import main
from tpc_stream.errors import BackendError, BundleError, EngineError, InputError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.plans.cache import PlanCache
from tpc_stream.plans.find_gpu import driver_version, find_gpus
from tpc_stream.plans.key import Gpu

LATENTS = np.linspace(0, 2, 3 * 4 * 8 * 8, dtype=np.float32).reshape(3, 4, 8, 8)


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return open_bundle(tiny)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorded]:
    """The stand-in, a GPU that is none, and an empty cache."""
    monkeypatch.setattr(backend_module, "find_gpus", lambda: find_gpus(StandInDriver()))
    monkeypatch.setenv("TPC_PLANS", str(tmp_path / "plans"))
    with stand_in(Recorded()) as made:
        yield made


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="pip install tensorrt cuda-bindings"):
        open_backend("trt")


def test_gpus_are_asked_of_the_driver(tmp_path: Path) -> None:
    assert find_gpus(StandInDriver(2))[1].name == "Stand-in GPU"
    gpu = find_gpus(StandInDriver())[0]
    assert gpu.compute_capability == "9.0"
    with pytest.raises(BackendError, match="shows no GPU"):
        find_gpus(StandInDriver(0))
    with pytest.raises(BackendError, match="cuInit gave error 999"):
        find_gpus(StandInDriver(error=999))
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n")
    assert driver_version(version) == "580.65.06"
    assert driver_version(tmp_path / "none") == ""


def test_settings() -> None:
    assert TrtSettings.parse("") == TrtSettings(0, "graph")
    assert TrtSettings.parse("frames=16,precision=fp16") == TrtSettings(16, "fp16")
    for text in ("frames=0", "frames=many", "precision=fp8", "speed=high"):
        with pytest.raises(InputError, match=f"got '{text}'"):
            TrtSettings.parse(text)


def test_a_plan_is_built_once_with_the_manifests_shapes(bundle: Bundle, recorded: Recorded) -> None:
    told: list[tuple[str, float]] = []
    graph = bundle.manifest.graphs["decode"]
    backend = TensorRTBackend(TrtSettings(frames=16), progress=lambda *step: told.append(step))
    first, second = backend.prepare(graph), backend.prepare(graph)
    assert first.new and not second.new and first.data == second.data
    assert recorded.named("build") == [
        (str(graph.path), {"latents": ((1, 4, 8, 8), (8, 4, 8, 8), (16, 4, 8, 8))}),
    ]
    assert recorded.named("create_network") == [(2,)], "strongly typed"
    assert told == [("Building engine", 0.0), ("Building engine", 0.5), ("Building engine", 1.0)]
    TensorRTBackend(TrtSettings(frames=8)).prepare(graph)
    TensorRTBackend(TrtSettings(frames=8, precision="fp16")).prepare(graph)
    assert len(recorded.named("build")) == 3 and recorded.named("set_flag") == [("FP16",)]


def test_precision_that_tensorrt_11_no_longer_chooses(bundle: Bundle, recorded: Recorded) -> None:
    with stand_in(Recorded(version="11.4.1")) as eleven:
        with pytest.raises(BackendError, match=r"TensorRT 11\.4\.1 takes precision from the graph.*--precision fp16"):
            TensorRTBackend(TrtSettings(precision="fp16"))
        TensorRTBackend().prepare(bundle.manifest.graphs["decode"])
        assert eleven.named("create_network") == [(0,)]


def test_arrays_go_there_and_back(bundle: Bundle, recorded: Recorded) -> None:
    engine = TensorRTBackend().open(bundle.manifest.graphs["decode"])
    pictures = engine({"latents": LATENTS})
    assert {name: array.shape for name, array in pictures.items()} == {
        "images": (3, 3, 32, 32),
        "mattes": (3, 1, 32, 32),
    }
    np.testing.assert_allclose(pictures["images"], LATENTS.mean(), rtol=1e-6)
    once = len(recorded.named("malloc"))
    again = engine({"latents": LATENTS[:2] + 1})
    np.testing.assert_allclose(again["mattes"], (LATENTS[:2] + 1).mean(), rtol=1e-6)
    np.testing.assert_allclose(pictures["images"], LATENTS.mean(), rtol=1e-6)
    assert len(recorded.named("malloc")) == once == 3, "memory is kept from call to call"
    assert recorded.named("execute") == [(77,), (77,)]
    assert recorded.named("cudaMemcpyHostToDevice")[0] == (LATENTS.nbytes,)
    engine.close()
    engine.close()
    assert not recorded.allocated
    with pytest.raises(EngineError, match="was closed"):
        engine({"latents": LATENTS})


def test_inputs_the_plan_is_not_for_are_refused(bundle: Bundle, recorded: Recorded) -> None:
    engine = TensorRTBackend(TrtSettings(frames=2)).open(bundle.manifest.graphs["decode"])
    for inputs, words in (
        ({"latents": LATENTS}, r"latents 1x4x8x8 to 2x4x8x8.*got \[3, 4, 8, 8\].*trt:frames=16"),
        ({"latents": LATENTS[:1].astype(np.float64)}, "got float64"),
        ({"pictures": LATENTS}, "takes latents, got pictures"),
    ):
        with pytest.raises(EngineError, match=words):
            engine(inputs)
    assert recorded.named("execute") == []


def test_what_fails_is_told(bundle: Bundle, recorded: Recorded) -> None:
    graph = bundle.manifest.graphs["decode"]
    recorded.refused_node = "/up/NonZero_3"
    with pytest.raises(BackendError, match=r"decode\.onnx: node /up/NonZero_3 \(NonZero\): unsupported"):
        TensorRTBackend().open(graph)
    recorded.refused_node, recorded.build_error = "", "Requested 90 GB\nof memory"
    with pytest.raises(BackendError, match=r"Requested 90 GB of memory; .*frames=N with fewer"):
        TensorRTBackend().open(graph)
    recorded.build_error, recorded.no_context = "", True
    with pytest.raises(BackendError, match="it gave no reason; where memory is short"):
        TensorRTBackend().open(graph)
    recorded.no_context, recorded.run_fails = False, True
    with pytest.raises(EngineError, match="plan of decode did not run"):
        TensorRTBackend().open(graph)({"latents": LATENTS})
    recorded.run_fails, recorded.no_memory_above = False, 2000
    with pytest.raises(
        EngineError, match=r"CUDA gives no 0\.0 MiB for latents: out of memory; take a smaller --window"
    ):
        TensorRTBackend().open(graph)({"latents": LATENTS})


def test_a_plan_that_was_changed_is_never_given_to_the_library(bundle: Bundle, recorded: Recorded) -> None:
    graph = bundle.manifest.graphs["decode"]
    plan = TensorRTBackend().prepare(graph)
    plan.path.write_bytes(plan.data + b" ")
    with pytest.raises(BackendError, match="not the plan that was recorded"):
        TensorRTBackend().open(graph)
    assert recorded.named("deserialize") == []


def test_a_plan_for_another_driver_is_built_anew(
    bundle: Bundle, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = bundle.manifest.graphs["decode"]
    TensorRTBackend().prepare(graph)
    monkeypatch.setattr(backend_module, "find_gpus", lambda: [Gpu("Stand-in GPU", "9.0", "other")])
    assert TensorRTBackend().prepare(graph).new


def test_a_plan_of_another_graph_is_refused_by_its_tensors(bundle: Bundle, recorded: Recorded, tmp_path: Path) -> None:
    from tpc_stream.backends.trt_engine import TensorRTEngine

    graphs = bundle.manifest.graphs
    plan = TensorRTBackend(cache=PlanCache(tmp_path / "other")).prepare(graphs["decode"])
    with pytest.raises(BundleError, match="the inputs are not those"):
        TensorRTEngine(graphs["encode"], plan.data, ())
    with pytest.raises(BackendError, match=r"cannot load the plan.*magic tag"):
        TensorRTEngine(graphs["encode"], b"no plan", ())


def test_the_whole_pipeline_runs_on_it_and_gives_its_memory_back(tmp_path: Path, recorded: Recorded) -> None:
    def poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for item in frames:
            height, width = item.image.shape[:2]
            yield PosedFrame(item, body(width, height))

    folder = make_tiny_bundle(tmp_path / "tiny", window=4)
    with Animator(AnimateOptions(bundle=folder, backend="trt", steps=1), pose_stage=poses) as animator:
        animator.portrait = portrait(256, 256)
        assert [made.index for made in animator.animate(frame(k) for k in range(6))] == list(range(6))
        assert animator.backend_description.startswith("TensorRT 10.13.0.35, graph precision, Stand-in GPU")
    assert len(recorded.named("build")) == len(open_bundle(folder).manifest.graphs)
    assert not recorded.allocated


def test_the_build_command(tiny: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("decode: built in 0 s", "decode: there already"):
        with pytest.raises(SystemExit) as ended:
            main(["build", "--bundle", str(tiny), "--backend", "trt:frames=4"])
        assert ended.value.code == 0
        assert words in capsys.readouterr().err
    assert len(recorded.named("build")) == len(open_bundle(tiny).manifest.graphs)
    with pytest.raises(SystemExit) as ended:
        main(["build", "--bundle", str(tiny), "--backend", "onnxrt"])
    assert ended.value.code == 2 and "builds nothing ahead of time" in capsys.readouterr().err


def test_the_stand_in_leaves_nothing_behind() -> None:
    before = sys.modules.get("tensorrt")
    with stand_in(Recorded()):
        assert sys.modules["tensorrt"].__version__ == "10.13.0.35"
    assert sys.modules.get("tensorrt") is before
    assert "tpc_stream.backends.trt_engine" not in sys.modules


@pytest.mark.gpu
def test_the_plan_gives_what_the_cpu_gives(bundle: Bundle, tmp_path: Path) -> None:
    skip_without_gpu()
    graph = bundle.manifest.graphs["decode"]
    expected = open_backend("onnxrt").open(graph)({"latents": LATENTS})
    found = TensorRTBackend(cache=PlanCache(tmp_path)).open(graph)({"latents": LATENTS})
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=2e-2)
