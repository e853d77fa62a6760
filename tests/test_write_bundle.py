"""The way from a checkpoint to a bundle: the command, its refusals, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import export.to_onnx
from export.__main__ import main
from export.systems.random_checkpoint import random_system, write_random_checkpoint
from export.to_onnx import Graph, export_graph, parity, use_half_precision
from export.to_onnx_roles import system_graphs
from export.write_bundle import write_system_bundle
from tpc_stream.errors import InputError


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, latents: Tensor) -> Tensor:
        return self.linear(latents).softmax(-1)


def small() -> Graph:
    torch.manual_seed(0)
    return Graph("decode", Small(), {"latents": ("F", 64)}, {"images": ("F", 64)})


def test_large_weights_lie_in_one_file_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.to_onnx, "OUTSIDE_FROM_BYTES", 1000)
    graph = small()
    path, data = export_graph(graph, tmp_path, F=3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["decode.onnx", "decode.onnx.data"]
    assert data.stat().st_size >= 64 * 64 * 4 > path.stat().st_size
    assert parity(graph, path, {"F": 5}) < 1e-6
    onnx.checker.check_model(str(path))


def test_half_precision_keeps_inputs_outputs_and_softmax_whole(tmp_path: Path) -> None:
    graph = small()
    whole = graph.run({"latents": torch.ones(2, 64)})[0]
    use_half_precision(graph.module)
    (path,) = export_graph(graph, tmp_path, F=3)
    model = onnx.load(str(path))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds.values()
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert parity(graph, path, {"F": 5}) < 1e-3
    np.testing.assert_allclose(graph.run({"latents": torch.ones(2, 64)})[0], whole, atol=1e-3)


def test_a_broken_checkpoint_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = write_random_checkpoint("dreampose", tmp_path / "weights", width=64, height=64)
    (sources.checkpoint / "adapter_20.pth").unlink()
    out = tmp_path / "engines" / "mine"
    arguments = ["dreampose", "--checkpoint", str(sources.checkpoint), "--clip", str(sources.clip), "--out", str(out)]
    assert main([*arguments, "--size", "64x64"]) == 2
    assert "adapter" in capsys.readouterr().err
    assert not out.parent.exists()


def test_a_size_that_the_checkpoint_is_not_for_is_refused() -> None:
    system = random_system("dreampose", width=64, height=64)
    with pytest.raises(InputError, match=r"is for 16 cells of 16x16 pixels \(512x640 has 1280\), got 128x128"):
        system_graphs(system, width=128, height=128)
    with pytest.raises(InputError, match="multiples of 8 pixels, got 60x64"):
        system_graphs(system, width=60, height=64)


def test_a_graph_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = random_system("dreampose", width=64, height=64)
    monkeypatch.setattr("export.write_bundle.parity", lambda *args: float("nan"))
    with pytest.raises(InputError, match=r"encode\.onnx differs from torch by nan"):
        write_system_bundle(system, tmp_path / "mine", name="mine", width=64, height=64, origin="", check=True)
    assert not list(tmp_path.iterdir())


def test_an_unknown_system_is_told_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["magicanimation", "--out", "x"]) == 2
    assert "python -m export magicanimate" in capsys.readouterr().err
