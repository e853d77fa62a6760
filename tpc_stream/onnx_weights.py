"""Whether an ONNX file computes in half precision: its protobuf fields are walked over, the weights are not read."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from tpc_stream.errors import BundleError

_HALF = (10, 16)  # FLOAT16, BFLOAT16
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER, _TENSOR_TYPE = 7, 1, 5, 2
_NODE_ATTRIBUTE, _ATTRIBUTE_INTEGER, _ATTRIBUTE_TENSOR = 5, 3, 5
Field = tuple[int, int, memoryview | None]
"""Number, and the value of a varint or the body of a message."""


def holds_half_precision(path: Path) -> bool:
    """Whether a weight is stored in 16 bits, or a value is cast to them. BundleError for a file that is no ONNX."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                return any(_half_graph(body) for number, _, body in _fields(view) if number == _MODEL_GRAPH and body)
            finally:
                view.release()
    except (OSError, ValueError, IndexError) as error:
        raise BundleError(f"{path} cannot be read as an ONNX graph: {error}; export the bundle again") from error


def _half_graph(graph: memoryview) -> bool:
    with graph:
        for number, _, body in _fields(graph):
            if body is None:
                continue
            with body:
                if number == _GRAPH_INITIALIZER and _half_tensor(body):
                    return True
                if number == _GRAPH_NODE and _half_node(body):
                    return True
    return False


def _half_node(node: memoryview) -> bool:
    """A cast to half precision, or a constant in it."""
    for number, _, body in _fields(node):
        if number != _NODE_ATTRIBUTE or body is None:
            continue
        with body:
            name = next((bytes(text) for field, _, text in _fields(body) if field == 1 and text is not None), b"")
            for field, value, tensor in _fields(body):
                if field == _ATTRIBUTE_INTEGER and name == b"to" and value in _HALF:
                    return True
                if field == _ATTRIBUTE_TENSOR and tensor is not None and _half_tensor(tensor):
                    return True
    return False


def _half_tensor(tensor: memoryview) -> bool:
    return any(field == _TENSOR_TYPE and value in _HALF for field, value, _ in _fields(tensor))


def _fields(view: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield number, value, None
        elif kind == 2:
            size, at = _varint(view, at)
            if at + size > len(view):
                raise ValueError("it ends in the middle of a field")
            yield number, 0, view[at : at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
