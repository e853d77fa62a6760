"""The measures of quality, on pictures whose figures are known; and the layout of what the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bench.misalignment import placements
from bench.quality import command, metrics
from bench.quality.backbones import Backbones, frechet, network
from bench.quality.figures import Figure
from bench.quality.measure import METRICS
from bench.quality.sets import Sizes, box, box_iou, kind_of
from tests.drawn_clips import drawn_clip
from tpc_stream.errors import InputError

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (128, 128, 3)).astype(np.uint8)


def grey(level: int) -> NDArray[np.uint8]:
    return np.full((128, 128, 3), level, np.uint8)


def test_errors_of_even_pictures() -> None:
    assert metrics.l1(grey(100), grey(151)) == pytest.approx(0.2)
    assert metrics.psnr(grey(100), grey(125)) == pytest.approx(20 * np.log10(255 / 25))
    region = np.zeros((128, 128), bool)
    region[:4] = True
    half = grey(100)
    half[:4] = 110
    assert metrics.psnr(half, grey(100), region) == pytest.approx(20 * np.log10(25.5))
    assert metrics.psnr(half, grey(100), ~region) > 70


def test_multi_scale_ssim_is_one_for_equals_and_takes_the_luminance_once() -> None:
    assert metrics.ms_ssim(NOISE, NOISE) == pytest.approx(1.0)
    c1 = 2.55**2
    luminance = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)
    assert metrics.ms_ssim(grey(100), grey(110)) == pytest.approx(luminance**0.1333, rel=1e-6)
    assert metrics.ms_ssim(NOISE, NOISE[::-1].copy()) < 0.3


def test_multi_scale_ssim_counts_what_lies_at_coarse_scales() -> None:
    rows = np.arange(256)[:, None, None]
    coarse = np.broadcast_to(128 + 60 * np.sin(rows / 20), (256, 256, 3))
    fine = RNG.normal(0, 20, coarse.shape)
    picture = (coarse + fine).clip(0, 255).astype(np.uint8)
    other = (coarse + fine[::-1]).clip(0, 255).astype(np.uint8)
    assert metrics.ms_ssim(picture, other) > metrics.ssim(picture, other) + 0.1


def test_the_true_motion_is_no_flicker() -> None:
    following = np.roll(NOISE, 3, axis=1)
    flow = np.full((128, 128, 2), np.nan, np.float32)
    flow[20:100, 20:100] = (3, 0)
    assert metrics.flicker(NOISE, following, flow) == 0.0
    assert metrics.flicker(NOISE, np.clip(following.astype(int) + 5, 0, 255).astype(np.uint8), flow) > 4
    flow[20:100, 20:100] = 0
    assert metrics.flicker(NOISE, following, flow) > 50
    assert np.isnan(metrics.flicker(NOISE, following, np.full_like(flow, np.nan)))


def test_sets_are_told_apart_by_turn_and_by_box() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:14, 5:25] = 255
    assert box(mask) == (5, 4, 25, 14) and box(mask * 0) == (0, 0, 0, 0)
    assert box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0 and box_iou((0, 0, 1, 1), (2, 0, 3, 1)) == 0
    assert kind_of(np.radians(29), 0.71) == "aligned" and kind_of(np.radians(-331), 0.71) == "aligned"
    assert kind_of(np.radians(-31), 1.0) == "misaligned" and kind_of(0.0, 0.69) == "misaligned"


def test_flow_at_the_output_size_is_in_its_pixels() -> None:
    flow = np.full((200, 100, 2), np.nan, np.float32)
    flow[50:150, 20:80] = (4, -2)
    small = Sizes((400, 400), (100, 100)).flow(flow)  # twice as large on the canvas, half as large in the output
    assert small.shape == (100, 100, 2)
    known = ~np.isnan(small[..., 0])
    assert known[26:74, 36:64].all() and not known[:, :34].any() and not known[:, 66:].any()
    np.testing.assert_allclose(small[known], np.broadcast_to([2, -1], (known.sum(), 2)), atol=1e-5)


def test_frechet_distance_is_that_of_the_formula() -> None:
    from scipy.linalg import sqrtm

    a, b = RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6)), RNG.normal(size=(300, 6)) + 2
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-9)
    few = RNG.normal(size=(3, 50))  # fewer samples than features
    assert frechet(few, few + 1) == pytest.approx(50.0)


def test_intervals_are_students() -> None:
    figure = Figure.of([1.0, 2.0, 3.0, float("nan")])
    assert figure.mean == 2.0 and figure.high - 2 == pytest.approx(4.30265 / np.sqrt(3), rel=1e-5)
    assert np.isnan(Figure.of([1.0]).low)
    with pytest.raises(ValueError, match="at least one"):
        Figure.of([float("nan")])


def graph(path: Path, inputs: list[str], nodes: list[onnx.NodeProto]) -> Path:
    made = helper.make_graph(
        nodes, "backbone",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, "H", "W"]) for name in inputs],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )  # fmt: skip
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_networks_that_are_given_are_used_and_others_are_not_replaced(tmp_path: Path) -> None:
    mean = helper.make_node("ReduceMean", ["x"], ["out"], axes=[2, 3], keepdims=0)
    gap = [helper.make_node("Sub", ["a", "b"], ["d"]), helper.make_node("ReduceMean", ["d"], ["out"], keepdims=0)]
    fid, lpips = graph(tmp_path / "fid.onnx", ["x"], [mean]), graph(tmp_path / "lpips.onnx", ["a", "b"], gap)
    backbones = Backbones(fid=network(fid, inputs=1), lpips=network(lpips, inputs=2))
    found, truth = [np.stack([grey(0), grey(51)])], [np.stack([grey(51), grey(102)])]
    measured = backbones.measure(found, truth)
    assert measured["FID"] == pytest.approx(3 * 0.2**2, rel=1e-3)
    assert measured["LPIPS"] == pytest.approx(-0.4, rel=1e-5)  # [0, 1] to [-1, 1]
    assert measured["FVD"] is None and measured["FID-VID"] is None
    with pytest.raises(InputError, match="takes 2 inputs, 1 are needed"):
        network(lpips, inputs=1)
    with pytest.raises(InputError, match="does not exist"):
        network(tmp_path / "none.onnx", inputs=1)


def test_the_command_writes_both_sets_without_and_with_calibration(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "clip_source", lambda _, sizes, count: lambda seed: [drawn_clip(sizes, seed)])
    out = tmp_path / "figures.json"
    assert command.main(["--bundle", str(tiny), "--seeds", "2", "--threads", "1", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    results = document["results"]
    for kind in ("aligned", "misaligned"):
        for variant in ("tpc", "no_tpc"):
            found = results[kind][variant]
            assert tuple(found) == METRICS
            for name in ("LPIPS", "FID", "FID-VID", "FVD", "flicker"):  # no networks, and no flow in drawn clips
                assert found[name] == "not measured"
            for name in ("L1", "PSNR", "SSIM", "MS-SSIM", "person PSNR", "difference error"):
                assert found[name]["low"] <= found[name]["mean"] <= found[name]["high"]
    assert document["frames"] == {"aligned": 8, "misaligned": 8}
    drop = document["person PSNR, dB"]["drop by misalignment, no_tpc"]["mean"]
    means = [results[kind]["no_tpc"]["person PSNR"]["mean"] for kind in ("aligned", "misaligned")]
    assert drop == pytest.approx(means[0] - means[1])


def test_wrong_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--fid", str(tmp_path / "none.onnx")]) == 2
    assert command.main(["--data", str(tmp_path)]) == 2
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == ["error", "error"]


def test_the_curve_has_every_angle_and_scale_once() -> None:
    made = placements()
    assert len({p.name for p in made}) == len(made) == 21
    assert {p.scale for p in made if p.degrees == 0} == {0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0}


def test_flow_of_a_body_that_moves_aside() -> None:
    moderngl = pytest.importorskip("moderngl")
    from export.mannequin.flow import FlowRenderer

    try:
        context = moderngl.create_standalone_context(backend="egl")
    except Exception as error:
        pytest.skip(f"no OpenGL here: {error}")
    square = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], np.float32)
    moved = square + np.array([0.25, 0.125, 0], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    flow = FlowRenderer(context, faces, 4, size=64).flow(square, moved, np.eye(4))
    known = ~np.isnan(flow[..., 0])
    assert known[20:44, 20:44].all() and not known[:14].any() and not known[:, :14].any()
    np.testing.assert_allclose(flow[known], np.broadcast_to([8, -4], (known.sum(), 2)), atol=1e-4)
