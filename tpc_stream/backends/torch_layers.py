"""ONNX's layers in torch: convolution, products, norms, softmax, pooling, resizing."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tpc_stream.backends.torch_operators import Operator, numbers
from tpc_stream.backends.torch_read import Node
from tpc_stream.backends.torch_trace import Traced, Tracer
from tpc_stream.errors import BackendError

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d}
_MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d}


def _conv(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    told = node.attributes
    axes = len(inputs[1].shape) - 2
    operands = tracer.heavy(*(item for item in inputs if item is not None))
    source, pads = _padded(tracer, node, operands[0], axes)
    bias = operands[2] if len(operands) > 2 else None
    return tracer.call(
        _CONV[axes], source, operands[1], bias, tuple(told.get("strides", [1] * axes)), pads,
        tuple(told.get("dilations", [1] * axes)), told.get("group", 1),
    )  # fmt: skip


def _padded(tracer: Tracer, node: Node, source: Any, axes: int) -> tuple[Any, tuple[int, ...]]:
    """What torch pads itself, and the rest padded before."""
    if node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise BackendError(f"node {node} leaves its padding to the runtime, which the backend torch does not do")
    pads = node.attributes.get("pads", [0] * 2 * axes)
    before, after = pads[:axes], pads[axes:]
    if before == after:
        return source, tuple(before)
    both = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    return tracer.call(F.pad, source, tuple(both)), (0,) * axes


def _pad(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    mode = node.attributes.get("mode", "constant")
    if mode != "constant" or (len(inputs) > 3 and inputs[3] is not None):
        raise BackendError(f"node {node} pads in a way ({mode}) that the backend torch does not know")
    pads, value = numbers(inputs[1], node), 0.0
    if len(inputs) > 2 and inputs[2] is not None:
        (value,) = numbers(inputs[2], node)
    half = len(pads) // 2
    both = [side for pair in zip(reversed(pads[:half]), reversed(pads[half:]), strict=True) for side in pair]
    return tracer.call(F.pad, inputs[0], tuple(both), "constant", value)


def _matmul(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    source, weight = inputs
    if isinstance(weight, Tensor) and weight.dim() == 2 and not isinstance(source, Tensor):
        (source,) = tracer.heavy(source)
        return tracer.call(F.linear, source, tracer.turned(weight), op="Linear", made_of=inputs)
    return tracer.call(torch.matmul, *tracer.heavy(*inputs), op=node.op, made_of=inputs)


def _gemm(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    told = node.attributes
    if told.get("alpha", 1.0) != 1.0 or told.get("beta", 1.0) != 1.0 or told.get("transA", 0):
        raise BackendError(f"node {node} is a product of a kind that the backend torch does not know")
    source, weight, *bias = inputs
    (source,) = tracer.heavy(source)
    if told.get("transB", 0):
        (weight,) = tracer.heavy(weight)
    else:
        weight = tracer.turned(weight) if isinstance(weight, Tensor) else tracer.call(torch.t, *tracer.heavy(weight))
    return tracer.call(F.linear, source, weight, *tracer.heavy(*bias))


def _softmax(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    return tracer.call(torch.softmax, inputs[0], node.attributes.get("axis", -1), op=node.op, made_of=inputs)


def _instance_norm(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    source, scale, shift = tracer.alike(*inputs)
    epsilon = node.attributes.get("epsilon", 1e-5)
    shape = (1, -1, *[1] * (len(source.shape) - 2))
    # groups of one channel each; the scale is laid on afterwards, since torch's instance norm asks for whole batches
    shown = source.shown if isinstance(source, Traced) else None
    normed = tracer.call(F.group_norm, source, source.shape[1], None, None, epsilon, shown=shown)
    if isinstance(inputs[1], Tensor) and bool((inputs[1] == 1).all()) and not bool(inputs[2].any()):
        return tracer.call(_same, normed, op="PlainInstanceNorm", made_of=(inputs[0], torch.tensor(epsilon)))
    scaled = tracer.call(torch.mul, normed, tracer.call(torch.reshape, scale, shape))
    return tracer.call(torch.add, scaled, tracer.call(torch.reshape, shift, shape))


def _same(value: Tensor) -> Tensor:
    return value


def _layer_norm(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    axis, epsilon = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)
    source, *rest = tracer.alike(*(item for item in inputs if item is not None))
    shown = source.shown if isinstance(source, Traced) else None
    return tracer.call(F.layer_norm, source, tuple(source.shape[axis:]), *rest, eps=epsilon, shown=shown)


def _pool(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    told = node.attributes
    kernel = tuple(told["kernel_shape"])
    axes, ceil = len(kernel), bool(told.get("ceil_mode", 0))
    strides = tuple(told.get("strides", [1] * axes))
    if node.op == "MaxPool":
        pads, dilations = told.get("pads", [0] * 2 * axes), tuple(told.get("dilations", [1] * axes))
        if pads[:axes] != pads[axes:]:
            raise BackendError(f"node {node} pads its sides differently, which the backend torch does not do")
        return tracer.call(_MAXIMUM[axes], inputs[0], kernel, strides, tuple(pads[:axes]), dilations, ceil)
    source, sides = _padded(tracer, node, inputs[0], axes)
    whole = bool(told.get("count_include_pad", 0))
    return tracer.call(_AVERAGE[axes], source, kernel, strides, sides, ceil, whole)


def _resize(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    told = node.attributes
    mode, where = told.get("mode", "nearest"), told.get("coordinate_transformation_mode", "half_pixel")
    if len(inputs) > 3 and inputs[3] is not None:
        size = numbers(inputs[3], node)
    else:
        size = [int(n * s) for n, s in zip(inputs[0].shape, numbers(inputs[2], node), strict=True)]
    known: dict[tuple[str, str], dict[str, Any]] = {
        ("nearest", "asymmetric"): {"mode": "nearest"},
        ("linear", "half_pixel"): {"mode": "bilinear", "align_corners": False},
        ("linear", "pytorch_half_pixel"): {"mode": "bilinear", "align_corners": False},
        ("linear", "align_corners"): {"mode": "bilinear", "align_corners": True},
    }
    if (mode, where) not in known or len(size) != 4 or size[:2] != list(inputs[0].shape[:2]):
        raise BackendError(f"node {node} resizes in a way ({mode}, {where}) that the backend torch does not know")
    return tracer.call(F.interpolate, inputs[0], tuple(size[2:]), **known[mode, where])


def _depth_to_space(tracer: Tracer, node: Node, inputs: tuple[Any, ...]) -> Any:
    if node.attributes.get("mode", "DCR") != "CRD":
        raise BackendError(f"node {node} orders channels in a way that the backend torch does not know")
    return tracer.call(F.pixel_shuffle, inputs[0], node.attributes["blocksize"])


LAYERS: dict[str, Operator] = {
    "Conv": _conv, "Pad": _pad, "MatMul": _matmul, "Gemm": _gemm, "Softmax": _softmax,
    "InstanceNormalization": _instance_norm, "LayerNormalization": _layer_norm, "AveragePool": _pool,
    "MaxPool": _pool, "Resize": _resize, "DepthToSpace": _depth_to_space,
}  # fmt: skip
