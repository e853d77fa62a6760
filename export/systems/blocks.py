"""The layers of a Stable Diffusion UNet under their published keys; `unet.Walk` and `autoencoder` run them.

Keys, shapes and their order are those of diffusers' classes, whose numbers these layers give (tests/test_blocks.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TimeProjection(nn.Module):
    """Timesteps [F] -> their cosines and sines [F, C], float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, timesteps: Tensor) -> Tensor:
        half = self.channels // 2
        rates = torch.exp(torch.arange(half, dtype=torch.float32, device=timesteps.device) * (-math.log(10000) / half))
        angles = timesteps[:, None].float() * rates[None]
        return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class TimeEmbedding(nn.Module):
    """[F, C] -> [F, E]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, projected: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(projected)))


class ResNet(nn.Module):
    """Two convolutions with a norm before each, and what leads around them."""

    def __init__(self, before: int, after: int, *, groups: int, epsilon: float, time: int | None) -> None:
        """`time`: channels of the time's embedding; None in an autoencoder, which has none."""
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, before, eps=epsilon)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        if time is not None:
            self.time_emb_proj = nn.Linear(time, after)
        self.norm2 = nn.GroupNorm(groups, after, eps=epsilon)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.conv_shortcut = None if before == after else nn.Conv2d(before, after, 1)


class Attention(nn.Module):
    """The weights of a multi-head attention; `attention.attend` runs them."""

    def __init__(self, channels: int, *, heads: int, shown: int | None = None) -> None:
        """`shown`: channels of the tokens that are looked at; None: the own."""
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(shown or channels, channels, bias=False)
        self.to_v = nn.Linear(shown or channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])


class GatedLinear(nn.Module):
    """x -> a gelu(b), where a and b are two halves of one layer."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.proj = nn.Linear(before, 2 * after)

    def forward(self, tokens: Tensor) -> Tensor:
        kept, gate = self.proj(tokens).chunk(2, dim=-1)
        return kept * F.gelu(gate)


class FeedForward(nn.Module):
    """[.., C] -> [.., C], four times as wide within."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # the published keys count a dropout between the two
        wide = 4 * channels
        self.net = nn.ModuleList([GatedLinear(channels, wide), nn.Identity(), nn.Linear(wide, channels)])

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.net:
            tokens = layer(tokens)
        return tokens


class TransformerBlock(nn.Module):
    """Attention to the own tokens, attention to what is shown, feed-forward."""

    def __init__(self, channels: int, *, heads: int, shown: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads=heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads=heads, shown=shown)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)


class SpatialTransformer(nn.Module):
    """One transformer block between two convolutions of one pixel."""

    def __init__(self, channels: int, *, heads: int, shown: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, heads=heads, shown=shown)])
        self.proj_out = nn.Conv2d(channels, channels, 1)


class Resample(nn.Module):
    """The convolution at the end of a block, to half or double size."""

    def __init__(self, channels: int, *, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=padding)


class Block(nn.Module):
    """ResNets, a transformer behind each where there are any, and a change of size."""

    def __init__(
        self,
        resnets: list[ResNet],
        attentions: list[SpatialTransformer] | None = None,
        *,
        down: Resample | None = None,
        up: Resample | None = None,
    ) -> None:
        super().__init__()
        if attentions is not None:
            self.attentions = nn.ModuleList(attentions)
        self.resnets = nn.ModuleList(resnets)
        self.downsamplers = None if down is None else nn.ModuleList([down])
        self.upsamplers = None if up is None else nn.ModuleList([up])
