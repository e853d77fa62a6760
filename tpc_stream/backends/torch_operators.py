"""ONNX's operators in torch: element by element, and those that move or cut tensors. Layers are in torch_layers.py."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tpc_stream.backends.torch_read import DTYPES, Node
from tpc_stream.backends.torch_trace import Traced, Tracer, Value
from tpc_stream.errors import BackendError

Operator = Callable[[Tracer, Node, tuple[Any, ...]], Any]
"""(tracer, node, its inputs, None where one is left out) -> its output, or a tuple of its outputs."""
_TRUTHS = ("Equal", "Greater", "Less", "And", "Or", "Not")
"""Whose result is of another type than what they compare."""


def elementwise(function: Callable[..., Any]) -> Operator:
    """An operator of one or two inputs that broadcast; a known number enters as a number."""

    def run(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
        operands = tracer.alike(*inputs)
        traced = [item for item in operands if isinstance(item, Traced)]
        if traced:
            operands = tuple(_number(item, traced[0]) for item in operands)
        shown = _broadcast(operands) if traced and node.op not in _TRUTHS else None
        return tracer.call(function, *operands, op=node.op, made_of=inputs, shown=shown)

    return run


def _broadcast(operands: tuple[Any, ...]) -> Tensor | None:
    """Shape and type of a sum or product of one type; None where types are mixed."""
    tensors = [item for item in operands if isinstance(item, Tensor | Traced)]
    if len({item.dtype for item in tensors}) > 1:
        return None
    shape = np.broadcast_shapes(*(tuple(item.shape) for item in tensors))
    return torch.empty(shape, dtype=tensors[0].dtype, device="meta")


def numbers(value: Value, node: Node) -> list[Any]:
    """The numbers of a known value; BackendError where they depend on what the graph computes."""
    if isinstance(value, Traced):
        raise BackendError(f"node {node} needs numbers that the graph computes, which the backend torch does not take")
    found = value.tolist()
    return found if isinstance(found, list) else [found]


def _number(item: Any, other: Traced) -> Any:
    if isinstance(item, Tensor) and item.numel() == 1 and item.dim() <= other.shown.dim():
        return item.item()
    return item


def _div(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and not a.is_floating_point():
        return torch.div(a, b, rounding_mode="trunc")
    return torch.div(a, b)


def _cast(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    (value,), dtype = inputs, DTYPES.get(node.attributes["to"])
    if dtype is None:
        raise BackendError(f"node {node} casts to a type that the backend torch does not take")
    if isinstance(value, Tensor):
        return value.to(dtype)
    if tracer.precision is not None and dtype.is_floating_point and value.dtype.is_floating_point:
        return value  # the chosen precision, not the graph's
    return tracer.cast(value, dtype)


def _shape(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return torch.tensor(list(inputs[0].shape)[start:end], dtype=torch.int64)


def _reshape(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    value, wanted = inputs[0], numbers(inputs[1], node)
    if not node.attributes.get("allowzero", 0):
        wanted = [value.shape[k] if n == 0 else n for k, n in enumerate(wanted)]
    if -1 in wanted and 0 in value.shape:  # torch cannot tell what -1 is of nothing: what it is of one
        whole = math.prod(n for n in value.shape if n)
        wanted = [whole // math.prod(n for n in wanted if n > 0) if n == -1 else n for n in wanted]
    return tracer.call(torch.reshape, value, tuple(wanted), op=node.op, made_of=(value,))


def _transpose(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    order = node.attributes.get("perm") or range(len(inputs[0].shape))[::-1]
    return tracer.call(torch.permute, inputs[0], tuple(order), op=node.op, made_of=inputs)


def _flatten(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    shape, axis = inputs[0].shape, node.attributes.get("axis", 1)
    return tracer.call(torch.reshape, inputs[0], (shape[:axis].numel(), shape[axis:].numel()))


def _concat(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    return tracer.call(torch.cat, tracer.alike(*inputs), node.attributes["axis"])


def _squeeze(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    axes = _axes(node, inputs, [k for k, n in enumerate(inputs[0].shape) if n == 1])
    kept = [n for k, n in enumerate(inputs[0].shape) if k not in axes and k - len(inputs[0].shape) not in axes]
    return tracer.call(torch.reshape, inputs[0], tuple(kept))


def _unsqueeze(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    rank = len(inputs[0].shape) + len(axes := _axes(node, inputs, ()))
    made = inputs[0]
    for axis in sorted(axis % rank for axis in axes):
        made = tracer.call(torch.unsqueeze, made, axis)
    return made


def _axes(node: Node, inputs: tuple[Any, ...], default: Any) -> list[int]:
    if len(inputs) > 1 and inputs[1] is not None:
        return numbers(inputs[1], node)
    return list(node.attributes.get("axes", default))


def _gather(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    (data, index), axis = inputs, node.attributes.get("axis", 0)
    if isinstance(index, Tensor) and index.dim() == 0:
        return tracer.call(torch.select, data, axis, int(index))
    if isinstance(index, Tensor):
        index = index % data.shape[axis]  # ONNX counts from the end as well
    if len(index.shape) == 1:
        return tracer.call(torch.index_select, data, axis, index)
    flat = tracer.call(torch.index_select, data, axis, tracer.call(torch.reshape, index, (-1,)))
    axis %= len(data.shape)
    shape = (*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])
    return tracer.call(torch.reshape, flat, shape)


def _slice(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    data, starts, ends = inputs[0], numbers(inputs[1], node), numbers(inputs[2], node)
    axes = numbers(inputs[3], node) if len(inputs) > 3 and inputs[3] is not None else list(range(len(starts)))
    steps = numbers(inputs[4], node) if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    cut = [slice(None)] * len(data.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step > 0:
            cut[axis] = slice(start, end, step)
        else:  # torch has no slices backwards
            places = torch.tensor(range(data.shape[axis])[start:end:step], dtype=torch.int64)
            data = tracer.call(torch.index_select, data, axis, places)
    return tracer.call(operator.getitem, data, tuple(cut))


def _split(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    axis = node.attributes.get("axis", 0)
    if len(inputs) > 1 and inputs[1] is not None:
        sizes: Any = numbers(inputs[1], node)
    else:
        sizes = -(-inputs[0].shape[axis] // len(node.outputs))
    return tracer.call(torch.split, inputs[0], sizes, axis)


def _expand(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    shape = np.broadcast_shapes(tuple(inputs[0].shape), tuple(numbers(inputs[1], node)))
    return tracer.call(torch.broadcast_to, inputs[0], shape)


def _constant(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    if "value" not in node.attributes:
        raise BackendError(f"node {node} is a constant of a kind that the backend torch does not take")
    return node.attributes["value"]


def _constant_of_shape(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    value = node.attributes.get("value", torch.zeros(1))
    return torch.full(tuple(numbers(inputs[0], node)), value.item(), dtype=value.dtype)


def _range(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    (start,), (limit,), (step,) = (numbers(item, node) for item in inputs)
    return torch.arange(start, limit, step, dtype=inputs[0].dtype)


def _where(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    return tracer.call(torch.where, inputs[0], *tracer.alike(inputs[1], inputs[2]))


def _clip(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    low, high = (None if item is None else numbers(item, node)[0] for item in (*inputs[1:], None, None)[:2])
    return tracer.call(torch.clamp, inputs[0], low, high)


def _min_max(function: Callable[..., Any]) -> Operator:
    def run(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
        made, *others = tracer.alike(*inputs)
        for other in others:
            made = tracer.call(function, made, other)
        return made

    return run


def _reduced(function: Callable[..., Any]) -> Operator:
    def run(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
        axes = _axes(node, inputs, range(len(inputs[0].shape)))
        return tracer.call(function, inputs[0], tuple(axes), bool(node.attributes.get("keepdims", 1)))

    return run


def _topk(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    (count,), told = numbers(inputs[1], node), node.attributes
    options = told.get("axis", -1), bool(told.get("largest", 1)), bool(told.get("sorted", 1))
    return tracer.call(torch.topk, inputs[0], count, *options)


def _gather_elements(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    return tracer.call(torch.gather, inputs[0], node.attributes.get("axis", 0), inputs[1])


_GELU = {"none": "none", "tanh": "tanh"}


def _gelu(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    return tracer.call(F.gelu, inputs[0], approximate=_GELU[node.attributes.get("approximate", "none")])


OPERATORS: dict[str, Operator] = {
    "Add": elementwise(torch.add), "Sub": elementwise(torch.sub), "Mul": elementwise(torch.mul),
    "Div": elementwise(_div), "Mod": elementwise(torch.remainder), "Pow": elementwise(torch.pow),
    "Equal": elementwise(torch.eq), "Greater": elementwise(torch.gt), "Less": elementwise(torch.lt),
    "And": elementwise(torch.logical_and), "Or": elementwise(torch.logical_or), "Not": elementwise(torch.logical_not),
    "Sqrt": elementwise(torch.sqrt), "Exp": elementwise(torch.exp), "Log": elementwise(torch.log),
    "Sin": elementwise(torch.sin), "Cos": elementwise(torch.cos), "Tanh": elementwise(torch.tanh),
    "Erf": elementwise(torch.erf), "Sigmoid": elementwise(torch.sigmoid), "Relu": elementwise(torch.relu),
    "Neg": elementwise(torch.neg), "Abs": elementwise(torch.abs), "Floor": elementwise(torch.floor),
    "Min": _min_max(torch.minimum), "Max": _min_max(torch.maximum), "Gelu": _gelu, "Clip": _clip, "Where": _where,
    "Identity": lambda tracer, node, inputs: inputs[0], "Cast": _cast, "Shape": _shape, "Reshape": _reshape,
    "Transpose": _transpose, "Flatten": _flatten, "Concat": _concat, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Gather": _gather, "Slice": _slice, "Split": _split, "Expand": _expand, "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "Range": _range, "ReduceMin": _reduced(torch.amin),
    "ReduceMax": _reduced(torch.amax), "ReduceMean": _reduced(torch.mean), "ReduceSum": _reduced(torch.sum),
    "TopK": _topk, "GatherElements": _gather_elements,
}  # fmt: skip
