"""Muon: momentum whose update is made orthogonal, for matrices; AdamW for the rest (Jordan et al. 2024).

For nets this small it learns where to look in the reference in far fewer steps than AdamW alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration, as published."""


def orthogonal(matrix: Tensor, *, iterations: int = 5) -> Tensor:
    """[r, c] a matrix near the closest one with all singular values 1; these come out between about 0.7 and 1.2."""
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal, with the update's size matched to AdamW's; weights of two or more axes."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"]).reshape(len(p), -1)
                scale = 0.2 * max(update.shape) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(orthogonal(update).reshape(p.shape), alpha=-group["lr"] * scale)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices of a model's inner layers, and all its other parameters."""
    inner, other = [], []
    for name, p in model.named_parameters():
        edge = any(part in name for part in ("inlet", "outlet", "time", "noisy", "guider.0", "null"))
        (inner if p.ndim >= 2 and not edge else other).append(p)
    return inner, other
