"""`python -m export check --tensorrt DIR`: what can be known, without TensorRT, of whether it takes a bundle's graphs.

trtcheck knows the operators and their limits, for TensorRT 10.3; what it does not know is told by onnx-tensorrt's own
table of operators. Beside that: element types that TensorRT has not, and free axes that no plan could give a length.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from tpc_stream.bundle import open_bundle
from tpc_stream.errors import BackendError, InputError
from tpc_stream.plans.shapes import profile_shapes

SUPPORTED_BESIDES = frozenset({"Cos", "Erf", "Flatten", "Min", "Mod", "Sin", "Sum"})
"""Operators that trtcheck 1.1 does not know and that onnx-tensorrt's docs/operators.md lists as supported; Mod from
TensorRT 8.6 on."""
UNSUPPORTED_TYPES = frozenset({TensorProto.DOUBLE, TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128})
_UNKNOWN = ("TRT-OP-UNCLASSIFIED", "TRT-OP-CUSTOM-DOMAIN")


def check_tensorrt(folders: list[Path]) -> int:
    """How many graphs of all bundles TensorRT would refuse, as far as can be known; prints a line for each graph."""
    wrong = 0
    for folder in folders:
        manifest = open_bundle(folder).manifest
        for role, graph in manifest.graphs.items():
            faults = graph_faults(graph.path)
            try:
                profile_shapes(manifest, graph)
            except BackendError as error:
                faults.append(str(error))
            print(f"{manifest.name}/{role}: {'; '.join(faults) or 'nothing that TensorRT would refuse is known'}")
            wrong += bool(faults)
    return wrong


def graph_faults(path: Path) -> list[str]:
    """What TensorRT would refuse in a graph; InputError where trtcheck is not installed."""
    try:
        from trtcheck import Analyzer, Severity
    except ImportError as error:
        raise InputError("the static check needs the package trtcheck: pip install trtcheck") from error
    model = onnx.load(str(path), load_external_data=False)
    found: list[str] = []
    for issue in Analyzer().analyze_model(model, filename=str(path)).issues:
        unknown = issue.rule_id in _UNKNOWN and issue.operator not in SUPPORTED_BESIDES
        if issue.severity == Severity.CRITICAL or unknown:
            found.append(f"node {issue.node_name or '?'} ({issue.operator}): {issue.message}")
    return found + _types(model)


def _types(model: Any) -> list[str]:
    graph = model.graph
    tensors = [(t.name, t.data_type) for t in graph.initializer]
    tensors += [(value.name, value.type.tensor_type.elem_type) for value in (*graph.input, *graph.output)]
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                tensors.append((node.name, attribute.i))
            if attribute.HasField("t"):
                tensors.append((node.name, attribute.t.data_type))
    return [f"{name} is {TensorProto.DataType.Name(kind)}" for name, kind in tensors if kind in UNSUPPORTED_TYPES]
