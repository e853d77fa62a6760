"""Attention that is read from a graph, and how near a place it lies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bench.photographs import TILE, caption, files
from bench.quality.attended import AttendedDenoiser, near
from tpc_stream.errors import InputError


def attending_graph(path: Path, *, softmax: str = "Softmax") -> Any:
    """One layer for one frame: queries are the latents' tokens [1, T, C], keys are [own, r, c], values the keys."""
    names = ("latents", "reference_00", "calibrated_00")
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, f"T{n}", 3]) for n in names]
    nodes = [
        helper.make_node("Concat", list(names), ["keys"], axis=1),
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["latents", "turned"], ["scores"]),
        helper.make_node("Unsqueeze", ["scores", "axis"], ["headed"]),  # one head
        helper.make_node(softmax, ["headed"], ["weights"], **({"axis": -1} if softmax == "Softmax" else {})),
        helper.make_node("Squeeze", ["weights", "axis"], ["flat"]),
        helper.make_node("MatMul", ["flat", "keys"], ["output"]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "attending", inputs, outputs, [axis])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return cast(Any, SimpleNamespace(path=path, output_names=("output",)))


def tokens(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, count, 3)).astype(np.float32)


def test_weights_are_those_of_the_formula_and_the_output_stays(tmp_path: Path) -> None:
    watched = AttendedDenoiser(attending_graph(tmp_path / "a.onnx"), threads=1)
    own, r, c = (tokens(seed, 4) for seed in range(3))
    output = watched({"latents": own, "reference_00": r, "calibrated_00": c})["output"]
    keys = np.concatenate([own, r, c], 1)[0]
    scores = np.exp(own[0] @ keys.T)
    weights = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(output[0], weights @ keys, rtol=1e-4, atol=1e-5)
    ((layer,),) = watched.passes
    assert layer.calibrated is not None
    np.testing.assert_allclose(layer.own[0].reshape(4), weights[:, :4].sum(1), rtol=1e-5)
    np.testing.assert_allclose(layer.reference[0].reshape(4, 4), weights[:, 4:8], rtol=1e-5)
    np.testing.assert_allclose(layer.calibrated[0].reshape(4, 4), weights[:, 8:], rtol=1e-5)
    watched({"latents": own, "reference_00": r, "calibrated_00": c[:, :0]})
    assert watched.passes[1][0].calibrated is None


def test_layers_whose_tokens_were_chosen_are_left_out(tmp_path: Path) -> None:
    watched = AttendedDenoiser(attending_graph(tmp_path / "a.onnx"), threads=1)
    watched({"latents": tokens(0, 4), "reference_00": tokens(1, 3), "calibrated_00": tokens(2, 3)})
    assert watched.passes == [[]]
    with pytest.raises(InputError, match="no softmax"):
        AttendedDenoiser(attending_graph(tmp_path / "b.onnx", softmax="Sigmoid"), threads=1)


def test_near_is_a_circle_about_the_place() -> None:
    assert near(4, np.array([0.9, 0.1]), 0.01).nonzero() == (0, 3), "the token that holds it, at least"
    within = near(16, np.array([0.5, 0.25]), 0.2)
    rows, columns = within.nonzero()
    assert abs(within.mean() - np.pi * 0.2**2) < 0.02
    assert abs(rows.mean() + 0.5 - 4) < 0.01 and abs(columns.mean() + 0.5 - 8) < 0.01
    assert not near(4, np.array([1.2, 0.5]), 0.5).any(), "nothing is near what the picture does not show"


def test_tiles_and_files_of_the_contact_sheet(tmp_path: Path) -> None:
    red = np.full((30, 30, 3), (255, 0, 0), np.uint8)
    tile = caption(red, "red")
    assert (tile[-TILE:] == (255, 0, 0)).all() and (tile[0] == 255).all() and (tile < 250).any()
    for name in ("b.PNG", "a.jpg", "c.txt"):
        (tmp_path / name).touch()
    more = tmp_path / "elsewhere.png"
    assert [p.name for p in files(tmp_path, [more], (".png", ".jpg"))] == ["a.jpg", "b.PNG", "elsewhere.png"]
    with pytest.raises(InputError, match="holds none of"):
        files(tmp_path, [], (".mp4",))
