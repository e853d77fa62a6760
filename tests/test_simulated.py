"""The backend that runs nothing: right shapes, given times, and the refusals of a real one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fake_clock import FakeClock
from tests.synthetic import body, frame, portrait
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.backends import open_backend
from tpc_stream.backends.simulated import GraphTime, SimulatedBackend, SimulatedTimes
from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.errors import EngineError, InputError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator

LATENTS = np.zeros((3, 4, 8, 8), np.float32)


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return open_bundle(tiny)


def test_outputs_have_the_manifests_shapes_and_the_inputs_sizes(bundle: Bundle) -> None:
    backend = SimulatedBackend()
    pictures = backend.open(bundle.manifest.graphs["decode"])({"latents": LATENTS})
    assert {name: (array.shape, array.dtype.name) for name, array in pictures.items()} == {
        "images": ((3, 3, 32, 32), "float32"),
        "mattes": ((3, 1, 32, 32), "float32"),
    }
    assert not pictures["images"].any() and pictures["mattes"].all()
    features = backend.open(bundle.feature_graph)({"latents": LATENTS})
    assert features["bank_00"].shape == (3, 64, 4)


def test_a_pass_takes_its_time_and_its_frames_times(bundle: Bundle) -> None:
    clock = FakeClock()
    times = SimulatedTimes.parse("denoise=20,decode=5+1.5")
    assert times.by_role == {"denoise": GraphTime(20.0), "decode": GraphTime(5.0, 1.5)}
    backend = SimulatedBackend(times, sleep=clock.advance)
    backend.open(bundle.manifest.graphs["decode"])({"latents": LATENTS})
    assert clock.now == pytest.approx(0.0095)
    backend.open(bundle.feature_graph)({"latents": LATENTS})
    assert clock.now == pytest.approx(0.0095), "what is not named takes no time"
    assert backend.describe() == "simulated: denoise 20 ms, decode 5+1.5 ms; flat pictures, no network runs"


def test_what_a_real_graph_would_refuse_is_refused(bundle: Bundle) -> None:
    engine = SimulatedBackend().open(bundle.manifest.graphs["decode"])
    for inputs, words in (
        ({"pictures": LATENTS}, "takes latents, got pictures"),
        ({"latents": LATENTS[0]}, r"float32\[4, 8, 8\]"),
        ({"latents": LATENTS[:, :3]}, r"float32\[3, 3, 8, 8\]"),
        ({"latents": LATENTS.astype(np.float64)}, "float64"),
    ):
        with pytest.raises(EngineError, match=words):
            engine(inputs)
    denoise = SimulatedBackend().open(bundle.manifest.graphs["denoise"])
    inputs = {
        "latents": LATENTS,
        "timesteps": np.zeros(2, np.float32),  # of two frames, but there are three
        "pose_features": np.zeros((3, 3, 1), np.float32),
        "reference_00": np.zeros((1, 64, 4), np.float32),
        "calibrated_00": np.zeros((1, 64, 4), np.float32),
        "calibrated_index": np.zeros(3, np.int64),
    }
    with pytest.raises(EngineError, match=r"timesteps: float32\[F\], got float32\[2\]"):
        denoise(inputs)
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        engine({"latents": LATENTS})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simulated:dance=3", "no graph 'dance'"),
        ("simulated:denoise", "got 'denoise'"),
        ("simulated:denoise=fast", "got 'denoise=fast'"),
        ("simulated:denoise=-1", "got -1.0 a pass"),
        ("onnxrt:fast", "onnxrt has no provider 'fast'"),
    ],
)
def test_bad_settings_are_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_backend(name)


def test_the_whole_pipeline_runs_on_it(tmp_path: Path) -> None:
    def poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for item in frames:
            height, width = item.image.shape[:2]
            yield PosedFrame(item, body(width, height))

    folder = make_tiny_bundle(tmp_path / "tiny", window=4, kind="tokens")
    options = AnimateOptions(bundle=folder, backend="simulated:denoise=1", steps=2)
    with Animator(options, pose_stage=poses) as animator:
        animator.portrait = portrait(256, 256)
        made = list(animator.animate(frame(k) for k in range(6)))
        assert animator.backend_description.startswith("simulated: denoise 1 ms")
    assert [item.index for item in made] == list(range(6))
    assert all((item.image == 128).all() for item in made)
    passes = next(s for s in animator.profiler.session().stages if s.name == "denoise/network")
    assert passes.self_ms.count == 4 and passes.self_ms.p50_ms >= 1
