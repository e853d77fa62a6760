"""What ONNX Runtime says of a graph's inputs and outputs, as specs."""

from __future__ import annotations

from collections.abc import Iterable

import onnxruntime as ort

from tpc_stream.manifest import TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


def tensor_specs(nodes: Iterable[ort.NodeArg]) -> list[TensorSpec]:
    """Names, dtypes and shapes; a free axis keeps the name it has in the graph."""
    return [
        TensorSpec(
            name=node.name,
            dtype=_DTYPES.get(node.type, node.type),
            shape=tuple(n if isinstance(n, int) else str(n) for n in node.shape),
        )
        for node in nodes
    ]
