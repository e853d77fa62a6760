"""Every system at tiny width: its graphs against torch, and its bundle in the stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main
from export.tensorrt_check import check_tensorrt
from export.to_onnx import parity
from tests.exported import BY_COMMAND, NAMES, SIZE, Export, command, exporter
from tests.synthetic import body, calibrated, frame, portrait, walk
from tpc_stream.backends import open_backend
from tpc_stream.bundle import open_bundle
from tpc_stream.decode import decode
from tpc_stream.denoise import DenoiseConfig, denoise
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.graph_roles import feature_outputs, feature_role
from tpc_stream.manifest import GraphSpec
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.plans.shapes import profile_shapes

ALLOWED = 1e-4
"""Of an output's largest value."""
FRAMES = 6
SLOW = ("disco-tm", "animate-anyone")
"""Tracing takes most of the time: DisCo's temporal variant shares all with it but the layers over frames, and
AnimateAnyone bank, motion modules and windows with MagicAnimate; `make test-all` runs both."""
VAE = {name: "kl" if name == "disco" else "tiny" for name in NAMES}
"""The same two for all systems: one with each is enough."""
EACH = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES]


@pytest.fixture(scope="module")
def export(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exporter(tmp_path_factory.mktemp("systems"))


class Stream:
    """A bundle with its engines open: opening them takes longer than running them."""

    def __init__(self, folder: Path) -> None:
        self.bundle = open_bundle(folder)
        backend = open_backend("onnxrt", threads=1)
        self.engines = {role: backend.open(graph) for role, graph in self.bundle.manifest.graphs.items()}

    def run(self, count: int = FRAMES, **choices: object) -> np.ndarray:
        """[count, H, W, 3] uint8."""
        defaults = {"steps": 2, "guidance_scale": 2.0, "window": 4, "overlap": 0, "group_size": 2}
        shared = {"bundle": self.bundle, "engines": self.engines, "portrait": portrait()}
        config = DenoiseConfig(**(defaults | choices))
        denoised = denoise(iter(calibrated(count)), config=config, span=lambda name: nullcontext(), **shared)
        return np.stack([item.image for item in decode(denoised, width=SIZE, height=SIZE, **shared)])


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    error = np.square(found.astype(np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a.astype(int) - b).max() > 8)


def _examples(graph: GraphSpec) -> dict[str, np.ndarray]:
    """One picture of noise."""
    random = np.random.default_rng(1)
    shapes = {spec.name: [n if isinstance(n, int) else 1 for n in spec.shape] for spec in graph.inputs}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", EACH)
def test_every_graph_gives_what_torch_gives(export: Export, name: str) -> None:
    made = export(name, vae=VAE[name])
    tokens = {f"{kind}{k}": 7 for kind in "RK" for k in range(16)}
    alone = tokens | {key: 0 for key in tokens if key.startswith("K")}
    # other lengths than those that were traced: 1 may be taken for a fixed size, and so may equal ones
    cases = [tokens | {"F": 1, "N": 1, "U": 1}, tokens | {"F": 5, "N": 3, "U": 2}]
    for role, graph in made.graphs.items():
        also = []
        if role == "denoise":
            # a reference without calibrated copies; of a bank, also the half that guidance makes without either
            also = [alone | {"F": 2, "U": 1}]
            if made.system.traits.kind == "bank":
                also.append(dict.fromkeys(tokens, 0) | {"F": 2, "U": 1})
        assert parity(graph, made.folder / f"{role}.onnx", *cases, *also) <= ALLOWED, role


@pytest.mark.parametrize("name", EACH)
def test_every_graph_is_one_that_tensorrt_takes_as_far_as_can_be_known(export: Export, name: str) -> None:
    folder = export(name, vae=VAE[name]).folder
    assert check_tensorrt([folder]) == 0
    manifest = open_bundle(folder).manifest
    features = profile_shapes(manifest, manifest.graphs["denoise"])
    written = feature_outputs(manifest.graphs[feature_role(manifest.conditioning)])
    most = {shape.name: shape.largest[1] for shape in features if shape.name.startswith("reference_")}
    assert list(most.values()) == [spec.shape[1] for spec in written], "exact, not up to a token a cell"


@pytest.mark.parametrize("name", EACH)
def test_a_system_streams_with_and_without_calibration_and_guidance(export: Export, name: str) -> None:
    stream = Stream(export(name, vae=VAE[name]).folder)
    features = stream.bundle.feature_graph
    found = stream.engines[features.role](_examples(features))
    assert all(found[spec.name].shape[1:] == spec.shape[1:] for spec in stream.bundle.features), "the manifest's tokens"
    usual, short = stream.run(), stream.run(4)
    assert usual.shape == (FRAMES, SIZE, SIZE, 3) and usual.std() > 5
    np.testing.assert_array_equal(stream.run(4), short)
    for other in ({"tpc": False}, {"guidance_scale": 1.0}, {"seed": 1}):
        assert differ(stream.run(4, **other), short), other
    if stream.bundle.manifest.window.temporal:
        blended = stream.run(overlap=2)
        assert blended.shape == usual.shape and differ(blended, usual)
    known = 4 - stream.bundle.manifest.pose.frames_after  # pose pictures of later frames are looked at
    np.testing.assert_array_equal(short[:known], usual[:known])


def test_the_command_makes_a_bundle_that_opens(
    export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = export(*BY_COMMAND).folder
    assert (out / "decode.onnx").stat().st_size < 200_000
    bundle = open_bundle(out)
    assert (bundle.manifest.name, bundle.manifest.sampling.scheduler) == (out.name, "pndm")
    assert bundle.manifest.pose.stacked == 5 and bundle.manifest.guidance.kind == "reference_and_pose"
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]
    assert main([*command(tmp_path), "--out", str(out)]) == 2
    assert f"{out.name} exists; give another --out, or --overwrite" in capsys.readouterr().err


def test_a_system_is_animated_from_end_to_end(export: Export) -> None:
    def stand(frames: Iterator[Frame]) -> Iterator[PosedFrame]:
        return (PosedFrame(item, body(256, 256, move=walk(8 * item.index))) for item in frames)

    options = AnimateOptions(bundle=export(*BY_COMMAND).folder, threads=1, steps=2, window=4)
    with Animator(options, pose_stage=stand) as animator:
        animator.portrait = portrait(256, 256)
        done = list(animator.animate([frame(k, width=256, height=256) for k in range(FRAMES)]))
    assert [item.index for item in done] == list(range(FRAMES))
    assert {item.image.shape for item in done} == {(SIZE, SIZE, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["disco", "dreampose", "animate-anyone"])
def test_half_precision_changes_no_picture_much(export: Export, name: str) -> None:
    half, full = Stream(export(name, "fp16").folder), Stream(export(name).folder)
    usual = {"guidance_scale": full.bundle.manifest.sampling.guidance_scale}
    assert psnr(half.run(**usual), full.run(**usual)) >= 40


@pytest.mark.slow
def test_half_precision_takes_about_half_the_space(export: Export) -> None:
    half, full = Stream(export("dreampose", "fp16").folder), Stream(export("dreampose").folder)
    sizes = [sum(file.stat().st_size for file in stream.bundle.folder.glob("*.onnx")) for stream in (half, full)]
    assert sizes[0] < 0.65 * sizes[1]  # of networks this small, what stays whole is a larger share
