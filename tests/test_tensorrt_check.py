"""The static check of graphs for TensorRT: the shipped bundle passes, and what TensorRT has not is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import main
from export.tensorrt_check import graph_faults
from tests.tiny_bundle import make_tiny_bundle


def _saved(folder: Path, *nodes: onnx.NodeProto, kind: int = TensorProto.FLOAT) -> Path:
    x, y = helper.make_tensor_value_info("x", kind, [4]), helper.make_tensor_value_info("y", kind, [4])
    model = helper.make_model(
        helper.make_graph(list(nodes), "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)]
    )
    path = folder / "graph.onnx"
    onnx.save(model, str(path))
    return path


def test_the_shipped_bundle_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--tensorrt", str(project / "engines" / "mannequin")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all(line.endswith("nothing that TensorRT would refuse is known") for line in lines)


def test_what_tensorrt_has_not_is_found(tmp_path: Path) -> None:
    passes = helper.make_node("Identity", ["x"], ["y"])
    assert graph_faults(_saved(tmp_path, passes)) == []
    assert graph_faults(_saved(tmp_path, helper.make_node("Erf", ["x"], ["y"]))) == []
    (fault,) = graph_faults(_saved(tmp_path, helper.make_node("Unique", ["x"], ["y"])))
    assert "Unique" in fault
    (fault,) = graph_faults(_saved(tmp_path, helper.make_node("Celebrate", ["x"], ["y"])))
    assert "Celebrate" in fault
    double = helper.make_node("Constant", [], ["c"], "held", value=numpy_helper.from_array(np.zeros(3)))
    assert any("held is DOUBLE" in fault for fault in graph_faults(_saved(tmp_path, double, passes)))
    cast = helper.make_node("Cast", ["x"], ["y"], "wide", to=TensorProto.DOUBLE)
    assert any("wide is DOUBLE" in fault for fault in graph_faults(_saved(tmp_path, cast)))


def test_a_graph_that_is_refused_makes_the_command_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    assert main(["check", "--tensorrt", str(folder)]) == 0
    monkeypatch.setattr("export.tensorrt_check.graph_faults", lambda path: ["node odd (Unique): none"])
    assert main(["check", "--tensorrt", str(folder)]) == 1
    with pytest.raises(SystemExit):
        main(["check"])
