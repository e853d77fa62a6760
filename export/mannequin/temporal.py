"""Attention over time at each place of a picture: frames of a window see each other, in an animator trained without."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.mannequin.networks import Widths, norm

HEAD = 16
"""Channels of a head, at most."""
_REACH = (0.1, 1.0)
"""What a frame's distance takes off the logarithm of its weight, untrained: least and most of all heads."""

_QUICK = 10.0
"""How much faster than weights the few numbers learn that say how far a head reaches."""


class TemporalAttention(nn.Module):
    """Each place of a frame looks at the same place of all frames of its window.

    A frame knows of another only how far away it is, not which comes first nor where in the window it stands: so any
    length of window will do, and a window that runs backwards gives the same pictures backwards. Untrained it changes
    nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm = norm(channels)
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.reach = nn.Parameter(torch.linspace(*_REACH, self.heads).log() / _QUICK)
        self.own = nn.Parameter(torch.zeros(self.heads))
        self.mix, self.out = nn.Linear(2 * channels, channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, windows: int) -> Tensor:
        """x [windows * F, channels, h, w]: F frames of each window, one window after the other."""
        n, c, h, w = x.shape
        y = self.norm(x).flatten(2).transpose(1, 2)

        def split(a: Tensor) -> Tensor:
            """[windows, places, heads, F, channels of a head]."""
            return a.reshape(windows, -1, h * w, self.heads, c // self.heads).permute(0, 2, 3, 1, 4)

        query, key, value = split(self.query(y)), split(self.key(y)), split(self.value(y))
        order = torch.arange(query.shape[3], device=x.device)
        apart = (order[:, None] - order[None]).abs()
        # written out, and in the precision it comes in: see `Attention`
        with torch.autocast(x.device.type, enabled=False):
            own, reach = self.own[:, None, None] * _QUICK, (self.reach * _QUICK).exp()[:, None, None]
            bias = own * (apart == 0) - reach * apart
            weights = (query * (c // self.heads) ** -0.5) @ key.transpose(-1, -2) + bias.to(query.dtype)
            seen = torch.softmax(weights, -1) @ value
        seen = seen.permute(0, 3, 1, 2, 4).reshape(n, h * w, c)
        more = self.out(functional.gelu(self.mix(torch.cat([y, seen.to(y.dtype)], 2))))
        return x + more.transpose(1, 2).reshape(n, c, h, w)


def is_temporal(name: str) -> bool:
    """Whether a parameter of that name in an animator belongs to its temporal layers."""
    return name.startswith("denoiser.temporal.")


def temporal_widths(widths: Widths) -> Widths:
    """The same sizes with temporal layers."""
    return replace(widths, temporal=True)


def put_under(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights without temporal layers into an animator with them, which keep what they hold.

    Raises RuntimeError, as `load_state_dict` does, if any other key is missing, unknown or of another shape.
    """
    own = {name: value for name, value in model.state_dict().items() if is_temporal(name)}
    model.load_state_dict({**own, **{name: value for name, value in weights.items() if not is_temporal(name)}})
