"""The few operations between two graphs, as ONNX graphs, so that a device can do them where its arrays are.

ONNX files are protobuf messages, of which so few fields are needed here that they are written directly: the package
onnx is not needed to run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TYPES = {"float32": 1, "float16": 10, "int64": 7, "bool": 9, "int32": 6}
_OPSET, _IR_VERSION = 17, 8
Tensor = tuple[str, str, tuple[str | int, ...]]
"""Name, dtype, shape; a string is a free axis."""


def joining(parts: int, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """x0, x1, ... [rows, *shape] -> y: all rows."""
    names = [f"x{k}" for k in range(parts)]
    inputs: list[Tensor] = [(name, dtype.name, (f"R{k}", *shape)) for k, name in enumerate(names)]
    node = _node("Concat", names, ["y"], _integer("axis", 0))
    return _model([node], inputs, [("y", dtype.name, ("R", *shape))])


def cutting(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """x [rows, *shape], index int64 [n] -> y [n, *shape]: those rows."""
    inputs: list[Tensor] = [("x", dtype.name, ("R", *shape)), ("index", "int64", ("N",))]
    node = _node("Gather", ["x", "index"], ["y"], _integer("axis", 0))
    return _model([node], inputs, [("y", dtype.name, ("N", *shape))])


def mixing(terms: int, shape: tuple[int, ...]) -> bytes:
    """x0, x1, ... [rows, *shape] and w0, w1, ... [rows, 1, ...], all float32 -> y: the sum of their products."""
    ones = (1,) * len(shape)
    inputs: list[Tensor] = []
    nodes = []
    for k in range(terms):
        inputs += [(f"x{k}", "float32", ("R", *shape)), (f"w{k}", "float32", ("R", *ones))]
        nodes.append(_node("Mul", [f"x{k}", f"w{k}"], [f"p{k}"]))
    nodes.append(_node("Sum", [f"p{k}" for k in range(terms)], ["y"]))
    return _model(nodes, inputs, [("y", "float32", ("R", *shape))])


def probing(dtype: np.dtype[np.generic], rank: int) -> bytes:
    """x -> y: one float32, finite if all of x is: the sum of its values without their signs.

    Not x - x, which compilers know to be 0, and not the largest value, for which NaN may count as the smallest.
    """
    nodes = [
        _node("Cast", ["x"], ["whole"], _integer("to", _TYPES["float32"])),
        _node("Abs", ["whole"], ["sizes"]),
        _node("ReduceSum", ["sizes"], ["y"], _integer("keepdims", 0)),
    ]
    return _model(nodes, [("x", dtype.name, tuple(f"R{k}" for k in range(rank)))], [("y", "float32", ())])


def _model(nodes: Sequence[bytes], inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bytes:
    graph = b"".join(_message(1, node) for node in nodes) + _text(2, "between")
    graph += b"".join(_message(11, _value(*tensor)) for tensor in inputs)
    graph += b"".join(_message(12, _value(*tensor)) for tensor in outputs)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, _text(1, "") + _number(2, _OPSET))


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes) -> bytes:
    body = b"".join(_text(1, name) for name in inputs) + b"".join(_text(2, name) for name in outputs)
    return body + _text(3, f"{kind}_{outputs[0]}") + _text(4, kind) + b"".join(_message(5, a) for a in attributes)


def _integer(name: str, value: int) -> bytes:
    return _text(1, name) + _number(3, value) + _number(20, 2)


def _value(name: str, dtype: str, shape: tuple[str | int, ...]) -> bytes:
    axes = (_number(1, axis) if isinstance(axis, int) else _text(2, axis) for axis in shape)
    tensor = _number(1, _TYPES[dtype]) + _message(2, b"".join(_message(1, axis) for axis in axes))
    return _text(1, name) + _message(2, _message(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
