"""An ONNX graph as torch takes it: nodes in order, weights as tensors on the host. Nothing in the file is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from tpc_stream.engine import check_tensors
from tpc_stream.errors import BackendError, BundleError
from tpc_stream.manifest import GraphSpec, TensorSpec

DTYPES: Mapping[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.BOOL: torch.bool,
}


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    op: str
    name: str
    inputs: tuple[str, ...]
    """Names of values; empty where an optional one is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name or self.outputs[0]} ({self.op})"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A graph that was read."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, Tensor]
    """On the host; those of a file beside the graph are mapped, not read."""


def read_network(graph: GraphSpec) -> Network:
    """Reads a graph; BundleError where it is not what its manifest says, BackendError where torch has no such type."""
    try:
        model = onnx.load(str(graph.path), load_external_data=False)
    except (DecodeError, OSError) as error:
        raise BackendError(f"{graph.path} cannot be read as ONNX: {error}; export the bundle again") from error
    own = {tensor.name for tensor in model.graph.initializer}
    check_tensors(graph, "inputs", graph.inputs, [_spec(v) for v in model.graph.input if v.name not in own])
    check_tensors(graph, "outputs", graph.outputs, [_spec(value) for value in model.graph.output])
    files = {path.name: path for path, _ in graph.data}
    weights = {tensor.name: _tensor(tensor, files, graph) for tensor in model.graph.initializer}
    return Network(tuple(_node(node, files, graph) for node in model.graph.node), weights)


def _node(node: onnx.NodeProto, files: Mapping[str, Path], graph: GraphSpec) -> Node:
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            attributes[attribute.name] = _tensor(attribute.t, files, graph)
            continue
        value = helper.get_attribute_value(attribute)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return Node(node.op_type, node.name, tuple(node.input), tuple(node.output), attributes)


def _tensor(tensor: onnx.TensorProto, files: Mapping[str, Path], graph: GraphSpec) -> Tensor:
    if tensor.data_type not in DTYPES:
        kind = TensorProto.DataType.Name(tensor.data_type)
        raise BackendError(f"{graph.path}: {tensor.name} is {kind}, which the backend torch does not take")
    dtype = DTYPES[tensor.data_type]
    if tensor.data_location == TensorProto.EXTERNAL:
        return _mapped(tensor, dtype, files, graph)
    array = np.array(numpy_helper.to_array(tensor))  # a copy: torch wants memory that it could write to
    if dtype == torch.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(dtype)
    return torch.from_numpy(array)


def _mapped(tensor: onnx.TensorProto, dtype: torch.dtype, files: Mapping[str, Path], graph: GraphSpec) -> Tensor:
    """Weights in a file beside the graph: one that the manifest names, and whose hash was checked with the bundle's."""
    entry = {item.key: item.value for item in tensor.external_data}
    if entry["location"] not in files:
        where = entry["location"]
        raise BundleError(f"{graph.path}: {tensor.name} lies in {where!r}, which the manifest does not name")
    path, shape = files[entry["location"]], tuple(tensor.dims)
    if 0 in shape:
        return torch.zeros(shape, dtype=dtype)
    count, offset = int(np.prod(shape)) * dtype.itemsize, int(entry.get("offset", 0))
    if offset + count > path.stat().st_size:
        raise BundleError(f"{graph.path}: {tensor.name} ends after the end of {path}; export the bundle again")
    # "c": pages that are written to would be copied; the file is never changed
    held = np.memmap(path, np.uint8, "c", offset, (count,))
    return torch.from_numpy(held).view(dtype).reshape(shape)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in kind.shape.dim)
    dtype = DTYPES.get(kind.elem_type)
    name = str(dtype).removeprefix("torch.") if dtype else TensorProto.DataType.Name(kind.elem_type)
    return TensorSpec(value.name, name, shape)
