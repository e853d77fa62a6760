"""Counting what a network does from the shapes that pass through it; on the meta device nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

BYTES = 2
"""Of a number in half precision."""


@dataclass(frozen=True, slots=True)
class Work:
    """What some operations cost."""

    multiply_adds: float = 0.0
    bytes: float = 0.0
    """Read and written: operands, weights and results once each, as if nothing stayed in a cache."""

    def __add__(self, other: Work) -> Work:
        return Work(self.multiply_adds + other.multiply_adds, self.bytes + other.bytes)

    def __sub__(self, other: Work) -> Work:
        return self + other * -1

    def __mul__(self, times: float) -> Work:
        return Work(self.multiply_adds * times, self.bytes * times)


class Counter(TorchFunctionMode):
    """Counts convolutions, linear layers and attentions, which are all but a percent of a UNet's operations.

    Attention is counted as one operation: its scores are not written out, as in flash attention.
    """

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in _ADDS:
            tensors = [item for item in (*args, *(kwargs or {}).values()) if isinstance(item, Tensor)]
            moved = sum(tensor.numel() for tensor in (*tensors, output))
            self.work += Work(_ADDS[func](output, *tensors), moved * BYTES)
        return output


def counted(run: Callable[[], object]) -> Work:
    """What calling `run` costs."""
    with Counter() as counter, torch.no_grad():
        run()
    return counter.work


def _layer(output: Tensor, source: Tensor, weight: Tensor, *rest: Tensor) -> int:
    return output.numel() * weight[0].numel()


def _attention(output: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Tensor) -> int:
    scores = query.shape[:-1].numel() * key.shape[-2]
    return scores * (query.shape[-1] + value.shape[-1])


_ADDS: Mapping[Callable[..., Any], Callable[..., int]] = {
    F.linear: _layer,
    F.conv1d: _layer,
    F.conv2d: _layer,
    F.scaled_dot_product_attention: _attention,
}
