"""Every system at tiny width: its graphs against torch, and its bundle in the stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from export.to_onnx import parity
from tests.exported import NAMES, Export, exporter
from tests.synthetic import body, frame, portrait, walk
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator

ALLOWED = 1e-4
"""Of an output's largest value."""
CANVAS = 256
FRAMES = 6


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # of graphs this small, more threads make less haste
    yield exporter(tmp_path_factory.mktemp("systems"))
    torch.set_num_threads(before)


def stand(frames: Iterator[Frame]) -> Iterator[PosedFrame]:
    return (PosedFrame(item, body(CANVAS, CANVAS, move=walk(8 * item.index))) for item in frames)


def animate(bundle: Path, **choices: object) -> np.ndarray:
    defaults: dict[str, object] = {"threads": 1, "steps": 2, "window": 4, "overlap": 0}
    with Animator(AnimateOptions(bundle=bundle, **(defaults | choices)), pose_stage=stand) as animator:
        animator.portrait = portrait(CANVAS, CANVAS)
        frames = [frame(k, width=CANVAS, height=CANVAS) for k in range(FRAMES)]
        return np.stack([item.image for item in animator.animate(frames)])


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    error = np.square(found.astype(np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a.astype(int) - b).max() > 8)


@pytest.mark.parametrize("name", NAMES)
def test_every_graph_gives_what_torch_gives(export: Export, name: str) -> None:
    made = export(name)
    tokens = {f"{kind}{k}": 7 for kind in "RK" for k in range(16)}
    none = dict.fromkeys(tokens, 0)
    for role, graph in made.graphs.items():
        path = made.folder / f"{role}.onnx"
        # other lengths than those that were traced: 1 may be taken for a fixed size, and so may equal ones
        assert parity(graph, path, F=1, N=1, U=1, **tokens) <= ALLOWED, role
        assert parity(graph, path, F=5, N=3, U=2, **tokens) <= ALLOWED, role
        if role == "denoise":
            # the unconditional half, and a reference without its calibrated copies
            free = none if graph.inputs["reference_00"][1] == "R0" and "bank" in made.system.traits.kind else tokens
            assert parity(graph, path, F=2, U=1, **free) <= ALLOWED
            without = tokens | {key: 0 for key in tokens if key.startswith("K")}
            assert parity(graph, path, F=2, U=1, **without) <= ALLOWED


@pytest.mark.parametrize("name", NAMES)
def test_a_system_streams_with_and_without_calibration_and_guidance(export: Export, name: str) -> None:
    folder = export(name).folder
    usual = animate(folder)
    assert usual.shape == (FRAMES, 128, 128, 3) and usual.std() > 5
    np.testing.assert_array_equal(animate(folder), usual)
    for other in ({"tpc": False}, {"guidance_scale": 1.0}, {"seed": 1}):
        assert differ(animate(folder, **other), usual), other
    # the same frames whatever comes after them
    assert usual[4:].any()


def test_windows_that_see_each_other_are_blended(export: Export) -> None:
    folder = export("animate-anyone").folder
    blended = animate(folder, overlap=2, group_size=2)
    assert blended.shape == (FRAMES, 128, 128, 3)
    np.testing.assert_array_equal(animate(folder, overlap=2, group_size=2, max_frames=None), blended)
    assert differ(blended, animate(folder, group_size=2))


@pytest.mark.parametrize("name", ["disco"])
def test_half_precision_is_seen_in_no_picture(export: Export, name: str) -> None:
    half, full = export(name, "fp16").folder, export(name).folder
    assert psnr(animate(half), animate(full)) >= 40
    size = {folder: sum(file.stat().st_size for file in folder.glob("*.onnx")) for folder in (half, full)}
    assert size[half] < 0.6 * size[full]
