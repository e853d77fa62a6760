"""Arrays stay on the device from encode to decode: the GPU backend's own code, on ONNX Runtime's CPU provider.

Its device is the host's memory, where nothing is gained; what it counts as crossing would cross on a GPU.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.synthetic import calibrated, portrait
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.backends import tiny_graphs
from tpc_stream.backends.onnxrt import OnnxRuntimeBackend
from tpc_stream.backends.onnxrt_device import OrtDevice, Place
from tpc_stream.backends.onnxrt_gpu import OnnxRuntimeGpuBackend
from tpc_stream.backends.onnxrt_providers import Provider
from tpc_stream.bundle import open_bundle
from tpc_stream.decode import decode
from tpc_stream.denoise import DenoiseConfig, Denoiser
from tpc_stream.engine import Backend, Value, placed, run
from tpc_stream.errors import EngineError
from tpc_stream.guidance import Pass, guided
from tpc_stream.part import WHOLE
from tpc_stream.pndm import PndmState, pndm_step
from tpc_stream.relay import PartFrame
from tpc_stream.resident import Resident, as_terms, joined, on_host, rows, settled, zeros_like
from tpc_stream.sampler import ddim_step
from tpc_stream.window import crossfade

CPU = Provider("cpu", "CPUExecutionProvider", "pip install onnxruntime", place=Place("cpu"))
WINDOW, STEPS = 4, 3
PICTURE, LATENT = 32 * 32 * 4, 4 * 8 * 8 * 4
"""Bytes of one channel of a picture, and of a frame's latents."""


def keeping() -> OnnxRuntimeGpuBackend:
    return OnnxRuntimeGpuBackend(CPU, threads=1)


class Run:
    """A bundle in a backend, window by window, with what crossed in each."""

    def __init__(self, folder: Path, backend: Backend, **choices: Any) -> None:
        bundle = open_bundle(folder)
        engines = {role: backend.open(graph) for role, graph in bundle.manifest.graphs.items()}
        chosen = {"steps": STEPS, "guidance_scale": 1.0, "window": WINDOW, "overlap": 0, "group_size": 2} | choices
        shared: dict[str, Any] = {"bundle": bundle, "engines": engines, "portrait": portrait()}
        self._counts = getattr(getattr(backend, "device", None), "crossings", Counter())
        denoiser = Denoiser(config=DenoiseConfig(**chosen), span=lambda name: nullcontext(), **shared)
        self.setup = self._taken()
        denoised = denoiser.denoise(denoiser.condition(PartFrame(WHOLE, item) for item in calibrated(3 * WINDOW)))
        self.windows: list[Counter[str]] = []
        pictures = []
        for item in decode(denoised, width=32, height=32, **shared):
            if item.index % WINDOW == 0:
                self.windows.append(self._taken())
            pictures.append(item.image)
        self.pictures = np.stack(pictures)

    def _taken(self) -> Counter[str]:
        taken = Counter(self._counts)
        self._counts.clear()
        return taken


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", window=WINDOW, temporal=True)


def test_a_window_sends_poses_noise_and_calibrated_pictures_and_brings_down_frames(folder: Path) -> None:
    found = Run(folder, keeping())
    plain = Run(folder, OnnxRuntimeBackend(threads=1))
    assert np.abs(found.pictures.astype(int) - plain.pictures).max() <= 1, "the sampler rounds once instead of thrice"
    for window in found.windows[1:]:
        # 4 drawn pictures at most: images and mattes; keypoints and noise a frame; a few numbers a step
        drawn = window["bytes up"] // (4 * PICTURE)
        numbers = WINDOW * (17 * 3 * 4) + STEPS * WINDOW * (4 + 8) + STEPS * 2 * WINDOW * 4
        cut = drawn * 8 + WINDOW * 8
        assert 1 <= drawn <= WINDOW
        assert 0 <= window["bytes up"] - drawn * 4 * PICTURE - WINDOW * LATENT - numbers <= cut
        assert window["bytes down"] == WINDOW * 4 * PICTURE, "images and mattes"
        assert window["arrays down"] == 2
        # a number each for: drawn pictures encoded, their features, poses, and each step's output
        assert window["flags down"] == drawn + 1 + 1 + STEPS
    assert found.setup["arrays down"] == 0, "the reference's features stay"


def test_without_calibration_nothing_is_sent_but_poses_noise_and_numbers(folder: Path) -> None:
    for window in Run(folder, keeping(), tpc=False).windows[1:]:
        assert window["bytes up"] < WINDOW * LATENT + 3000
        assert window["bytes down"] == WINDOW * 4 * PICTURE


@pytest.mark.parametrize(
    ("made", "choices"),
    [
        ({"temporal": True, "scheduler": "ddim", "prediction": "epsilon"}, {"overlap": 2, "guidance_scale": 2.0}),
        ({"kind": "tokens", "scheduler": "pndm", "prediction": "v_prediction"}, {"guidance_scale": 3.0}),
        ({"reference_timesteps": True}, {}),
        ({"schedules": ("window", "diagonal")}, {"schedule": "diagonal", "window": 2}),
    ],
)
def test_every_schedule_and_sampler_gives_what_numpy_gives(
    tmp_path: Path, made: dict[str, Any], choices: dict[str, Any]
) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny", window=WINDOW, **made)
    found, plain = (Run(bundle, backend, **choices) for backend in (keeping(), OnnxRuntimeBackend(threads=1)))
    assert np.abs(found.pictures.astype(int) - plain.pictures).max() <= 1
    assert sum(window["arrays down"] for window in found.windows) <= 2 * len(found.windows) + 12


def test_numpy_arrays_are_left_to_numpy() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert as_terms(array) is array and settled(array) is array and on_host(array) is array
    assert np.shares_memory(rows(array, 1, 3), array)
    assert np.array_equal(joined([array, array[:1]]), np.concatenate([array, array[:1]]))
    assert not zeros_like(array).any()
    engine = OnnxRuntimeBackend(threads=1)
    assert placed(engine, array) is array  # type: ignore[arg-type]
    passes = (Pass(True, True, 3.0), Pass(False, True, -2.0))
    by_hand = np.zeros_like(array)
    for item, output in zip(passes, (array, -array), strict=True):
        by_hand += np.float32(item.weight) * output
    assert guided([array, -array], passes).tobytes() == by_hand.tobytes(), "to the bit, with the sign of zero"


@pytest.fixture
def device() -> OrtDevice:
    return keeping().device


def test_a_device_does_what_numpy_does(device: OrtDevice) -> None:
    random = np.random.default_rng(4)
    first, second = (random.standard_normal((n, 3, 2, 2), dtype=np.float32) for n in (2, 3))
    a, b = device.send(first), device.send(second)
    first_kept = first.copy()
    first[...] = 0
    assert np.array_equal(on_host(a), first_kept), "what was sent may change"
    together = joined([a, b])
    whole = np.concatenate([first_kept, second])
    assert isinstance(together, Resident) and together.shape == (5, 3, 2, 2) and together.nbytes == whole.nbytes
    assert np.array_equal(on_host(together), whole)
    assert np.array_equal(on_host(rows(together, 1, 4)), whole[1:4])
    assert rows(together, 0, 5) is together and joined([a]) is a
    assert np.array_equal(on_host(joined([a, second])), whole), "what lies on the host is sent"
    assert not on_host(zeros_like(a)).any()
    numbers = device.send(np.arange(6).reshape(3, 2))
    assert np.array_equal(on_host(rows(numbers, 2, 3)), [[4, 5]]) and device.finite(numbers)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_device_finds_what_is_no_number(device: OrtDevice, value: float) -> None:
    array = np.full((2, 3), -1e36, np.float32)
    assert device.finite(device.send(array))
    array[1, 2] = value
    assert not device.finite(device.send(array))
    half = np.array([[65504, value]], np.float16)
    assert not device.finite(device.send(half)) and device.finite(device.send(half[:, :1]))


def test_samplers_run_on_terms(device: OrtDevice) -> None:
    random = np.random.default_rng(5)
    arrays = [random.standard_normal((2, 4, 2, 2), dtype=np.float32) for _ in range(5)]
    sent = [device.send(array) for array in arrays]
    move = {"alpha": 0.6, "sigma": 0.8, "next_alpha": 0.8, "next_sigma": 0.6}
    level = {name: np.float32(value) for name, value in move.items()}
    for prediction in ("sample", "epsilon", "v_prediction"):
        wanted = ddim_step(arrays[0], arrays[1], prediction=prediction, **level)
        made = settled(ddim_step(as_terms(sent[0]), as_terms(sent[1]), prediction=prediction, **level))
        np.testing.assert_allclose(on_host(made), wanted, atol=1e-6)
    wanted, made, known, other = arrays[4], sent[4], PndmState(), PndmState()
    for output, there in zip(arrays[:4], sent[:4], strict=True):
        wanted, known = pndm_step(output, wanted, known, prediction="epsilon", **level)
        moved, other = pndm_step(as_terms(there), as_terms(made), other, prediction="epsilon", **level)
        made = settled(moved)  # type: ignore[assignment]
    np.testing.assert_allclose(on_host(made), wanted, atol=1e-5)
    blended = settled(crossfade(as_terms(sent[0]), as_terms(sent[1])))
    np.testing.assert_allclose(on_host(blended), crossfade(arrays[0], arrays[1]), atol=1e-6)
    with pytest.raises(TypeError):
        as_terms(sent[0]) + 1.0  # no sum of weighted arrays


def test_a_pass_that_gives_nan_is_told_by_its_graph(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the denoise graph gave 1024 of 1024 values of output that are NaN"):
        Run(make_tiny_bundle(tmp_path / "tiny", window=WINDOW, nan=True), keeping())


def test_arrays_of_another_backend_are_refused(folder: Path, device: OrtDevice) -> None:
    engine = keeping().open(open_bundle(folder).manifest.graphs["decode"])
    inputs: dict[str, Value] = {"latents": device.send(np.zeros((1, 4, 8, 8), np.float32))}
    with pytest.raises(EngineError, match="latents lies on another device"):
        run(engine, inputs, graph="decode")


def test_where_nothing_can_stay_it_is_told_and_arrays_cross(folder: Path) -> None:
    told: list[str] = []

    def broken(model: bytes) -> Any:
        raise RuntimeError("no such memory\nand more")

    device = OrtDevice(Place("cpu"), broken, told=told.append)
    assert not device.usable and not device.usable
    assert told == ["arrays cannot stay on cpu and cross at every pass, which is slower: no such memory"]
    backend = keeping()
    backend.device = device
    found = Run(folder, backend)
    assert np.array_equal(found.pictures, Run(folder, OnnxRuntimeBackend(threads=1)).pictures)


def test_the_graphs_between_are_onnx() -> None:
    kind = np.dtype(np.float16)
    for model in (
        tiny_graphs.joining(130, kind, (5, 3)),
        tiny_graphs.cutting(kind, (300,)),
        tiny_graphs.mixing(4, (4, 64, 64)),
        tiny_graphs.probing(kind, 3),
    ):
        onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
