"""An engine that gives NaN, infinity or black, told by a stand-in backend: found before a second window begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import body, frame, portrait
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream import pipeline
from tpc_stream.backends.onnxrt import OnnxRuntimeBackend
from tpc_stream.engine import Array, Engine, require_light
from tpc_stream.errors import EngineError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.manifest import GraphSpec
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator

WINDOW = 4


class SpoilingBackend:
    """A STAND-IN for a backend that goes wrong: the real engines, whose output in one role is filled with a value."""

    name = "spoiling"

    def __init__(self, role: str, output: str, value: float, *, good_passes: int) -> None:
        self.role, self.output, self.value, self.good_passes = role, output, value, good_passes
        self.passes = 0

    def open(self, graph: GraphSpec) -> Engine:
        engine = OnnxRuntimeBackend(threads=1).open(graph)
        return _Spoiling(engine, self) if graph.role == self.role else engine

    def describe(self) -> str:
        return "spoiling"


class _Spoiling:
    def __init__(self, engine: Engine, backend: SpoilingBackend) -> None:
        self._engine, self._backend = engine, backend

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._engine(inputs)
        self._backend.passes += 1
        if self._backend.passes > self._backend.good_passes:
            outputs[self._backend.output] = np.full_like(outputs[self._backend.output], self._backend.value)
        return outputs

    def close(self) -> None:
        self._engine.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", window=WINDOW)


def _animate(folder: Path, backend: SpoilingBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    def poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for item in frames:
            height, width = item.image.shape[:2]
            yield PosedFrame(item, body(width, height))

    monkeypatch.setattr(pipeline, "open_backend", lambda name, threads: backend)
    with Animator(AnimateOptions(bundle=folder, steps=1), pose_stage=poses) as animator:
        animator.portrait = portrait(256, 256)
        for made in animator.animate(frame(k) for k in range(3 * WINDOW)):
            yield made.index


@pytest.mark.parametrize(
    ("role", "output", "value", "words"),
    [
        ("denoise", "output", float("nan"), "the denoise graph gave .* NaN or infinite"),
        ("pose", "pose_features", float("inf"), "the pose graph gave .* NaN or infinite"),
        ("decode", "images", float("nan"), "the decode graph gave .* NaN or infinite"),
        ("decode", "images", -1.0, r"the decode graph gave 4 pictures that are black everywhere .*-1\.000"),
    ],
)
def test_a_fault_in_the_second_window_ends_the_run_there(
    folder: Path, role: str, output: str, value: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    with pytest.raises(EngineError, match=words):
        made.extend(_animate(folder, SpoilingBackend(role, output, value, good_passes=1), monkeypatch))
    assert made in ([], list(range(WINDOW))), "nothing of the spoilt window is given, and nothing after it"


def test_good_passes_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SpoilingBackend("decode", "images", -1.0, good_passes=99)
    assert list(_animate(folder, backend, monkeypatch)) == list(range(3 * WINDOW))
    assert backend.passes == 3


def test_one_light_pixel_is_no_fault() -> None:
    pictures = np.full((2, 3, 32, 32), -1, np.float32)
    with pytest.raises(EngineError, match="2 pictures that are black"):
        require_light(pictures, graph="decode")
    pictures[1, 2, 5, 3] = -0.9
    require_light(pictures, graph="decode")
    require_light(pictures[:0], graph="decode")
