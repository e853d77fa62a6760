"""The TensorRT backend with the library absent, and with a stand-in that notes what is called (stand_in_tensorrt.py).

What TensorRT itself makes of it only a GPU can tell: those tests are marked gpu.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.stand_in_cuda import STREAM, Recorded, StandInDriver
from tests.stand_in_tensorrt import stand_in
from tests.synthetic import body, calibrated, frame, portrait
from tests.tiny_bundle import make_tiny_bundle
from tests.with_gpu import skip_without_gpu
from tpc_stream.backends import open_backend
from tpc_stream.backends import trt as backend_module
from tpc_stream.backends.trt import TensorRTBackend, TrtSettings
from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.cli import main
from tpc_stream.decode import decode
from tpc_stream.denoise import DenoiseConfig, denoise
from tpc_stream.engine import run
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
    assert TrtSettings.parse("frames=16,precision=fp16,graphs=off") == TrtSettings(16, "fp16", graphs=False)
    for text in ("frames=0", "frames=many", "precision=fp8", "speed=high", "graphs=some"):
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
    backend = TensorRTBackend()
    engine = backend.open(bundle.manifest.graphs["decode"])
    pictures = engine({"latents": LATENTS})
    assert {name: array.shape for name, array in pictures.items()} == {
        "images": (3, 3, 32, 32),
        "mattes": (3, 1, 32, 32),
    }
    np.testing.assert_allclose(pictures["images"], LATENTS.mean(), rtol=1e-6)
    once = len(recorded.named("malloc"))
    for k in range(1, 4):
        again = engine({"latents": LATENTS + k})
        np.testing.assert_allclose(again["mattes"], LATENTS.mean() + k, rtol=1e-6)
    np.testing.assert_allclose(pictures["images"], LATENTS.mean(), rtol=1e-6)
    assert len(recorded.named("malloc")) == once == 5, "memory is kept: latents, two outputs, two sums"
    assert recorded.named("cudaMemcpyHostToDevice") == [(LATENTS.nbytes,)] * 4
    assert len(recorded.named("cudaMemcpyDeviceToHost")) == 8
    engine.close()
    engine.close()
    backend.close()
    assert not recorded.allocated
    with pytest.raises(EngineError, match="was closed"):
        engine({"latents": LATENTS})


def test_passes_of_equal_shapes_are_repeated_as_a_cuda_graph(bundle: Bundle, recorded: Recorded) -> None:
    engine = TensorRTBackend().open(bundle.manifest.graphs["decode"])
    for _ in range(4):
        engine({"latents": LATENTS})
    assert recorded.named("execute") == [(STREAM,), (STREAM + 1,)], "one to settle, one to record"
    assert recorded.named("launch") == [(STREAM,)] * 3
    for frames in (2, 3, 2):  # no two passes alike: nothing is recorded for them
        found = engine({"latents": LATENTS[:frames] + 1})
        np.testing.assert_allclose(found["mattes"], LATENTS[:frames].mean() + 1, rtol=1e-6)
    assert len(recorded.named("graph")) == 1 and len(recorded.named("graph freed")) == 1
    assert recorded.named("execute")[2:] == [(STREAM,)] * 3


def test_without_a_recording_it_is_told_once_and_goes_on(
    bundle: Bundle, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    recorded.no_capture = True
    engine = TensorRTBackend().open(bundle.manifest.graphs["decode"])
    for k in range(4):
        found = engine({"latents": LATENTS + k})
        np.testing.assert_allclose(found["images"], LATENTS.mean() + k, rtol=1e-6)
    told = [record.message for record in caplog.records if "CUDA graph" in record.message]
    assert len(told) == 1 and told[0].startswith("the plan of decode runs without a CUDA graph, launch by launch: CUDA")
    off = TensorRTBackend(TrtSettings(graphs=False)).open(bundle.manifest.graphs["decode"])
    for _ in range(3):
        off({"latents": LATENTS})
    assert recorded.named("launch") == []


def test_a_resident_input_is_copied_once_and_read_where_it_is_without_a_graph(
    bundle: Bundle, recorded: Recorded
) -> None:
    for graphs, copies in (("on", 1), ("off", 0)):
        backend = TensorRTBackend(TrtSettings.parse(f"graphs={graphs}"))
        engine = backend.open(bundle.manifest.graphs["decode"])
        latents = backend.device.send(LATENTS)
        before = len(recorded.named("cudaMemcpyDeviceToDevice"))
        for _ in range(3):
            found = engine({"latents": latents})  # type: ignore[dict-item]
        np.testing.assert_allclose(found["images"], LATENTS.mean(), rtol=1e-6)
        assert len(recorded.named("cudaMemcpyDeviceToDevice")) - before == copies


def test_arrays_stay_on_the_device_through_a_run(tmp_path: Path, recorded: Recorded) -> None:
    frames, steps = 4, 2
    folder = make_tiny_bundle(tmp_path / "tiny", window=frames)
    bundle = open_bundle(folder)
    backend = TensorRTBackend()
    engines = {role: backend.open(graph) for role, graph in bundle.manifest.graphs.items()}
    shared = {"bundle": bundle, "engines": engines, "portrait": portrait()}
    config = DenoiseConfig(steps=steps, guidance_scale=2.0, window=frames, overlap=0, group_size=2)
    made = denoise(iter(calibrated(3 * frames)), config=config, span=lambda name: nullcontext(), **shared)
    sent: list[list[tuple[int]]] = []
    for item in decode(made, width=32, height=32, **shared):
        if item.index % frames == frames - 1:
            sent.append([recorded.named(f"cudaMemcpy{way}") for way in ("HostToDevice", "DeviceToHost")])
            recorded.calls.clear()
    latent, picture = 4 * 8 * 8 * 4, 32 * 32 * 4
    for up, down in sent[1:]:
        large = [count for (count,) in up if count > 1000]
        drawn = large.count(3 * picture)
        assert sorted(large) == sorted([3 * picture, picture] * drawn + [frames * latent])
        assert sorted(count for (count,) in down if count > 4) == [frames * picture, frames * 3 * picture]
        assert [count for (count,) in down].count(4) == drawn + 1 + 1 + 2 * steps, "a sum a pass"
    for engine in engines.values():
        engine.close()
    del made, engine
    backend.close()
    gc.collect()
    assert not recorded.allocated


def test_nan_is_seen_by_the_sum_beside_the_output(bundle: Bundle, recorded: Recorded) -> None:
    graph = bundle.manifest.graphs["encode"]
    inputs = {"images": np.ones((1, 3, 32, 32), np.float32), "mattes": np.ones((1, 1, 32, 32), np.float32)}
    engine = TensorRTBackend().open(graph)
    run(engine, inputs, graph="encode")
    assert (4,) in recorded.named("cudaMemcpyDeviceToHost")
    recorded.spoilt = "latents"
    with pytest.raises(EngineError, match="the encode graph gave 256 of 256 values of latents that are NaN"):
        run(engine, inputs, graph="encode")


def test_a_device_does_what_numpy_does(bundle: Bundle, recorded: Recorded) -> None:
    backend = TensorRTBackend()
    backend.open(bundle.manifest.graphs["denoise"])
    device = backend.device
    a, b = device.send(LATENTS), device.send(LATENTS[:1] * 2)
    whole = np.concatenate([LATENTS, LATENTS[:1] * 2])
    together = device.joined([a, b])
    assert np.array_equal(device.fetch(together), whole)
    assert np.array_equal(device.fetch(device.rows(together, 1, 3)), whole[1:3])
    assert not device.fetch(device.zeros((2, 3), np.dtype(np.float32))).any()
    weights = [np.full((3, 1, 1, 1), w, np.float32) for w in (2, -1, 0.5)]
    for count in (1, 2, 3):
        mixed = device.mixed([(weight, a) for weight in weights[:count]])
        np.testing.assert_allclose(device.fetch(mixed), LATENTS * sum(w[0, 0, 0, 0] for w in weights[:count]))


def test_memory_is_taken_back_from_other_sizes_before_it_is_refused(bundle: Bundle, recorded: Recorded) -> None:
    pool = TensorRTBackend().device.pool
    recorded.room = 1024
    large = pool.take(1000, "one")
    del large
    two = pool.take(500, "two")
    assert two.size == 512, "what is held by nobody makes room"
    with pytest.raises(EngineError, match="for three: out of memory; take a smaller --window"):
        pool.take(1000, "three")


def test_graphs_with_q_and_dq_are_strongly_typed_and_nothing_else(bundle: Bundle, recorded: Recorded) -> None:
    """The types of fp8 and int8 are in the graph; a flag would let TensorRT choose them, and 11 has none."""
    graph = bundle.manifest.graphs["decode"]
    model = onnx.load(graph.path)
    scale = helper.make_node("Constant", [], ["scale"], value_float=0.05)
    zero = helper.make_node("Constant", [], ["zero_8"], value=numpy_helper.from_array(np.int8(0)))
    first = helper.make_node("QuantizeLinear", ["latents", "scale", "zero_8"], ["quantised"])
    back = helper.make_node("DequantizeLinear", ["quantised", "scale", "zero_8"], ["latents_8"])
    for node in model.graph.node:
        node.input[:] = ["latents_8" if name == "latents" else name for name in node.input]
    nodes = [scale, zero, first, back, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    path = graph.path.with_name("decode_8.onnx")
    onnx.save(model, str(path))
    TensorRTBackend().prepare(replace(graph, path=path, sha256="8" * 64))
    path.unlink()
    assert recorded.named("create_network") == [(2,)] and recorded.named("set_flag") == []


def test_float32_is_float32(bundle: Bundle, recorded: Recorded) -> None:
    backend = TensorRTBackend()
    twin = backend.in_float32()
    twin.prepare(bundle.manifest.graphs["decode"])
    assert recorded.named("clear_flag") == [("TF32",)] and recorded.named("create_network") == [(2,)]
    assert twin.device is backend.device and "fp32 precision" in twin.describe()


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
    backend = TensorRTBackend(cache=PlanCache(tmp_path / "other"))
    plan, device = backend.prepare(graphs["decode"]), backend.device
    with pytest.raises(BundleError, match="the inputs are not those"):
        TensorRTEngine(graphs["encode"], plan.data, (), device)
    with pytest.raises(BackendError, match=r"cannot load the plan.*magic tag"):
        TensorRTEngine(graphs["encode"], b"no plan", (), device)


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
    assert len(recorded.named("build")) == len(open_bundle(folder).manifest.graphs) + 1, "and latents are mixed"
    assert not recorded.allocated


def test_the_build_command(tiny: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("decode: built in 0 s", "decode: there already"):
        with pytest.raises(SystemExit) as ended:
            main(["build", "--bundle", str(tiny), "--backend", "trt:frames=4"])
        assert ended.value.code == 0
        assert words in capsys.readouterr().err
    assert len(recorded.named("build")) == len(open_bundle(tiny).manifest.graphs) + 1
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
@pytest.mark.parametrize("graphs", [True, False])
def test_the_plans_give_what_the_cpu_gives(tmp_path: Path, graphs: bool) -> None:
    """A whole run with arrays that stay on the GPU, repeated as CUDA graphs or not."""
    skip_without_gpu()
    bundle = open_bundle(make_tiny_bundle(tmp_path / "tiny", window=4, temporal=True))
    config = DenoiseConfig(steps=3, guidance_scale=2.0, window=4, overlap=2, group_size=2)
    pictures = []
    backend = TensorRTBackend(TrtSettings(graphs=graphs), cache=PlanCache(tmp_path / "plans"))
    for opened in (open_backend("onnxrt"), backend):
        engines = {role: opened.open(graph) for role, graph in bundle.manifest.graphs.items()}
        shared = {"bundle": bundle, "engines": engines, "portrait": portrait()}
        made = denoise(iter(calibrated(16)), config=config, span=lambda name: nullcontext(), **shared)
        pictures.append(np.stack([item.image for item in decode(made, width=32, height=32, **shared)]).astype(int))
        for engine in engines.values():
            engine.close()
    backend.close()
    assert np.abs(pictures[0] - pictures[1]).max() <= 3
