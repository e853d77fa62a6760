"""ONNX operators in torch against ONNX Runtime, one small graph each: those whose rules differ from torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tpc_stream.backends import open_backend
from tpc_stream.engine import Array
from tpc_stream.errors import BackendError
from tpc_stream.manifest import GraphSpec, TensorSpec


@dataclass(frozen=True)
class Case:
    op: str
    shape: tuple[int, ...]
    """Of the input."""
    known: Sequence[Any] = ()
    """Further inputs; None is one left out."""
    attributes: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.op}-{'-'.join(name for name, _ in self.attributes)}"


BIG = np.iinfo(np.int64).max
CASES = (
    Case("Slice", (4, 6), [np.array([-1, 1]), np.array([-BIG, BIG]), np.array([0, 1]), np.array([-2, 3])]),
    Case("Slice", (4, 6), [np.array([1]), np.array([3])]),
    Case("Gather", (4, 6), [np.array([[0, -1], [2, 1]])], (("axis", 1),)),
    Case("Gather", (4, 6), [np.array(-1)], (("axis", 0),)),
    Case("Reshape", (4, 6), [np.array([0, -1, 2])]),
    Case("Flatten", (2, 3, 4), (), (("axis", 2),)),
    Case("Squeeze", (1, 4, 1), [np.array([-1])]),
    Case("Squeeze", (1, 4, 1)),
    Case("Unsqueeze", (4, 6), [np.array([0, -1])]),
    Case("Split", (4, 6), [np.array([2, 4])], (("axis", 1),)),
    Case("Expand", (4, 1), [np.array([2, 1, 3])]),
    Case("Clip", (4, 6), [None, np.float32(0.2)]),
    Case("Pad", (2, 3), [np.array([1, 0, 0, 2]), np.float32(5)]),
    Case("Mod", (4, 6), [np.float32(0.3)], (("fmod", 1),)),
    Case("InstanceNormalization", (2, 3, 5), [np.float32([1, 2, 3]), np.float32([0, 1, 0])]),
    Case("LayerNormalization", (2, 3, 5), [np.float32([1, 2, 3, 4, 5])], (("axis", -1),)),
    Case("AveragePool", (1, 2, 5, 5), (), (("kernel_shape", [2, 2]), ("pads", [0, 0, 1, 1]), ("count_include_pad", 1))),
    Case("MaxPool", (1, 2, 6, 6), (), (("kernel_shape", [3, 3]), ("strides", [2, 2]), ("pads", [1, 1, 1, 1]))),
    Case("Conv", (1, 2, 7, 7), [np.ones((4, 1, 3, 3), np.float32)], (("group", 2), ("pads", [0, 1, 2, 1]))),
    Case("Conv", (1, 2, 7), [np.ones((4, 2, 3), np.float32)], (("strides", [2]),)),
    Case("Gemm", (2, 3), [np.ones((3, 4), np.float32), np.float32([1, 2, 3, 4])]),
    Case("Resize", (1, 2, 3, 3), [None, np.float32([1, 1, 2, 2])],
         (("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor"))),
    Case("Resize", (1, 2, 3, 3), [None, None, np.array([1, 2, 5, 7])], (("mode", "linear"),)),
    Case("DepthToSpace", (1, 8, 2, 2), (), (("blocksize", 2), ("mode", "CRD"))),
    Case("ReduceMax", (2, 3, 4), (), (("axes", [1, 2]), ("keepdims", 0))),
    Case("TopK", (3, 5), [np.array([2])], (("axis", 0),)),
    Case("Transpose", (2, 3, 4)),
    Case("Softmax", (2, 3, 4), (), (("axis", 1),)),
    Case("Pow", (2, 3), [np.float32(2)]),
    Case("Where", (2, 3), [np.float32(2)]),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_onnx_runtime(case: Case, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    random = np.random.default_rng(0).random(case.shape, dtype=np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    wanted = dict(zip(names, session.run(None, {"x": random}), strict=True))
    found = open_backend("torch:cpu", threads=1).open(spec(case, path, wanted))({"x": random})
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        Case("Resize", (1, 2, 3, 3), [None, np.float32([1, 1, 2, 2])], (("mode", "cubic"),)),
        Case("DepthToSpace", (1, 8, 2, 2), (), (("blocksize", 2),)),
        Case("Pad", (2, 3), [np.array([1, 0, 0, 2])], (("mode", "edge"),)),
        Case("Gemm", (2, 3), [np.ones((3, 4), np.float32)], (("alpha", 0.5),)),
        Case("Cast", (2, 3), (), (("to", TensorProto.COMPLEX64),)),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    engine = open_backend("torch:cpu").open(spec(case, path, {"y0": np.zeros(1, np.float32)}))
    with pytest.raises(BackendError, match=f"node the_one \\({case.op}\\).*backend torch"):
        engine({"x": np.zeros(case.shape, np.float32)})


def written(case: Case, folder: Path) -> Path:
    names = ["" if item is None else f"k{k}" for k, item in enumerate(case.known)]
    known = [numpy_helper.from_array(np.asarray(v), n) for n, v in zip(names, case.known, strict=True) if n]
    outputs = ["y0", "y1"] if case.op in ("Split", "TopK") else ["y0"]
    inputs = ["x", *names]
    nodes = []
    if case.op == "Where":  # where x > 0.5 then x, else 2
        known.append(numpy_helper.from_array(np.float32(0.5), "half"))
        nodes.append(helper.make_node("Greater", ["x", "half"], ["mask"]))
        inputs = ["mask", "x", *names]
    nodes.append(helper.make_node(case.op, inputs, outputs, name="the_one", **dict(case.attributes)))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, case.shape)
    kinds = [TensorProto.FLOAT, TensorProto.INT64 if case.op == "TopK" else TensorProto.FLOAT]
    y = [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, kinds, strict=False)]
    model = helper.make_model(
        helper.make_graph(nodes, "one", [x], y, known), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    path = folder / "one.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def spec(case: Case, path: Path, outputs: dict[str, Array]) -> GraphSpec:
    ends = tuple(TensorSpec(name, array.dtype.name, ()) for name, array in outputs.items())
    return GraphSpec("pose", path, "", (TensorSpec("x", "float32", case.shape),), ends)
