"""What exporting took apart is put together again: attention, GroupNorm, SiLU, GELU, linear layers with their bias.

ONNX (to opset 17) has no such operators; torch has each as one, and each is faster and loses less. A pattern is looked
for from its last operation backwards; what it stands for in the graph is dropped where nothing else needs it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tpc_stream.backends.torch_read import Node
from tpc_stream.backends.torch_trace import Traced, Tracer, Value


def fused(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Value | None:
    """The one operation that `node` ends, or None where it ends no pattern."""
    if len(inputs) != 2 or None in inputs:
        return None
    match node.op:
        case "MatMul":
            return _attention(tracer, *inputs)
        case "Add":
            return _either(_biased, tracer, *inputs) or _either(_group_norm, tracer, *inputs)
        case "Mul":
            return _either(_silu, tracer, *inputs) or _either(_gelu, tracer, *inputs)
    return None


def _either(pattern: Any, tracer: Tracer, a: Value, b: Value) -> Value | None:
    """Both orders of a sum or product."""
    found: Value | None = pattern(tracer, a, b) or pattern(tracer, b, a)
    return found


def _attention(tracer: Tracer, scores: Value, values: Value) -> Value | None:
    """MatMul(Softmax(MatMul(q a, k^T b) + bias), v) -> attention with the scale a b."""
    soft = _made(scores, "Softmax")
    if soft is None or len(soft.shape) != 4:
        return None
    (inner,) = soft.made_of
    product, bias = _made(inner, "MatMul"), None
    if product is None:
        added = _made(inner, "Add")
        if added is None:
            return None
        for one, other in (added.made_of, added.made_of[::-1]):
            product, bias = _made(one, "MatMul"), other
            if product is not None:
                break
    if product is None or len(product.made_of) != 2:
        return None
    (query, a), (turned, b) = (_scaled(item) for item in product.made_of)
    if not isinstance(query, Traced):
        return None
    keys = tracer.call(torch.transpose, turned, -2, -1)
    transposed = _made(turned, "Transpose")
    if transposed is not None and _swaps_last(transposed):
        (keys,) = transposed.made_of  # turned and turned back
    operands = tracer.heavy(query, keys, values)
    mask = None if bias is None else tracer.alike(operands[0], bias)[1]
    made: Value = tracer.call(F.scaled_dot_product_attention, *operands, attn_mask=mask, scale=a * b)
    return made


def _swaps_last(turned: Traced) -> bool:
    order, rank = turned.place.args[1], len(turned.shape)
    return isinstance(order, tuple) and list(order) == [*range(rank - 2), rank - 1, rank - 2]


def _scaled(value: Value) -> tuple[Value, float]:
    """What a number multiplies, and the number."""
    product = _made(value, "Mul")
    if product is not None:
        for one, other in (product.made_of, product.made_of[::-1]):
            number = _number(other)
            if number is not None:
                return one, number
    return value, 1.0


def _biased(tracer: Tracer, product: Value, bias: Value) -> Value | None:
    """x W + b."""
    linear = _made(product, "Linear")
    if linear is None or not isinstance(bias, Tensor) or bias.shape != linear.shape[-1:]:
        return None
    source, weight = linear.made_of
    assert isinstance(weight, Tensor)
    made: Value = tracer.call(F.linear, *tracer.heavy(source), tracer.turned(weight), *tracer.heavy(bias))
    return made


def _group_norm(tracer: Tracer, product: Value, shift: Value) -> Value | None:
    """x reshaped to groups, normed, reshaped back, times w, plus b."""
    scaled = _made(product, "Mul")
    if scaled is None or not isinstance(shift, Tensor):
        return None
    back, scale = scaled.made_of
    if isinstance(back, Tensor):
        back, scale = scale, back
    reshaped = _made(back, "Reshape")
    normed = None if reshaped is None else _made(reshaped.made_of[0], "PlainInstanceNorm")
    grouped = None if normed is None else _made(normed.made_of[0], "Reshape")
    if reshaped is None or normed is None or grouped is None or not isinstance(scale, Tensor):
        return None
    (source,) = grouped.made_of
    epsilon = normed.made_of[1]
    if not isinstance(source, Traced) or not isinstance(epsilon, Tensor) or source.shape != reshaped.shape:
        return None
    count, channels = source.shape[:2]
    for tensor in (scale, shift):
        if tensor.numel() != channels or tensor.shape[0] != channels or tensor.dim() != source.shown.dim() - 1:
            return None
    if grouped.shape[0] != count or channels % grouped.shape[1] or count == 0:
        return None
    operands = tracer.alike(source, scale, shift)
    flat = (tracer.call(torch.flatten, item) for item in operands[1:])
    made: Value = tracer.call(
        F.group_norm, operands[0], grouped.shape[1], *flat, epsilon.item(), shown=_like(operands[0])
    )
    return made


def _silu(tracer: Tracer, source: Value, gate: Value) -> Value | None:
    """x sigmoid(x)."""
    sigmoid = _made(gate, "Sigmoid")
    if sigmoid is None or sigmoid.made_of[0] is not source:
        return None
    made: Value = tracer.call(F.silu, source, shown=_like(source))
    return made


def _gelu(tracer: Tracer, product: Value, half: Value) -> Value | None:
    """x (1 + erf(x / sqrt 2)) / 2."""
    whole = _made(product, "Mul")
    if whole is None or _number(half) != 0.5:
        return None
    for source, other in (whole.made_of, whole.made_of[::-1]):
        added = _made(other, "Add")
        if added is None or not any(_number(item) == 1.0 for item in added.made_of):
            continue
        inner = next((found for item in added.made_of if (found := _made(item, "Erf")) is not None), None)
        divided = None if inner is None else _made(inner.made_of[0], "Div")
        if divided is None or divided.made_of[0] is not source:
            continue
        root = _number(divided.made_of[1])
        if root is not None and abs(root - math.sqrt(2)) < 1e-4:
            made: Value = tracer.call(F.gelu, source, shown=_like(source))
            return made
    return None


def _like(value: Value) -> Tensor | None:
    """Shape and type of what leaves them as they are."""
    return value.shown if isinstance(value, Traced) else None


def _made(value: Value, op: str) -> Traced | None:
    return value if isinstance(value, Traced) and value.op == op else None


def _number(value: Value) -> float | None:
    return float(value.item()) if isinstance(value, Tensor) and value.numel() == 1 else None
