"""The motion modules of MagicAnimate and AnimateAnyone (after AnimateDiff): each pixel's frames look at each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from export.systems.attention import attend
from export.systems.blocks import FeedForward
from export.systems.widths import UNetWidths


class Positions(nn.Module):
    """Sinusoidal positions of frames, kept in the checkpoint as `pe` [1, frames, C]."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        position = torch.arange(frames)[:, None]
        rates = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
        table = torch.zeros(1, frames, channels)
        table[0, :, 0::2] = torch.sin(position * rates)
        table[0, :, 1::2] = torch.cos(position * rates)
        self.register_buffer("pe", table)

    def forward(self, tokens: Tensor) -> Tensor:
        """[pixels, F, C] -> the same, with the positions 0 to F - 1 added."""
        return tokens + self.pe[:, : tokens.shape[1]]


class FrameAttention(nn.Module):
    """Attention of each pixel's frames to each other."""

    def __init__(self, channels: int, heads: int, frames: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.pos_encoder = Positions(channels, frames)

    def forward(self, tokens: Tensor) -> Tensor:
        """[pixels, F, C] -> [pixels, F, C]."""
        return attend(self, self.pos_encoder(tokens), own=True)


class FrameBlock(nn.Module):
    """Two attentions over frames and a feed-forward."""

    def __init__(self, channels: int, heads: int, frames: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([FrameAttention(channels, heads, frames) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(2)])
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """[pixels, F, C] -> [pixels, F, C]."""
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            tokens = tokens + attention(norm(tokens))
        return tokens + self.ff(self.ff_norm(tokens))


class FrameTransformer(nn.Module):
    """The block between a GroupNorm, whose statistics are each frame's own, and a projection back."""

    def __init__(self, channels: int, heads: int, groups: int, frames: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([FrameBlock(channels, heads, frames)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[F, C, h, w] -> the same."""
        size = x.shape[2:]
        tokens = self.proj_in(self.norm(x).flatten(2).permute(2, 0, 1))
        for block in self.transformer_blocks:
            tokens = block(tokens)
        return x + self.proj_out(tokens).permute(1, 2, 0).unflatten(2, size)


class MotionModule(nn.Module):
    """One motion module under its published name."""

    def __init__(self, channels: int, widths: UNetWidths) -> None:
        super().__init__()
        self.temporal_transformer = FrameTransformer(channels, widths.heads, widths.norm_groups, widths.frames)

    def forward(self, x: Tensor) -> Tensor:
        """[F, C, h, w] -> the same."""
        return self.temporal_transformer(x)


def add_motion_modules(unet: nn.Module, widths: UNetWidths, *, mid: bool) -> None:
    """Puts a motion module behind every layer of every block, and, for `mid`, behind the middle's attention."""
    for block, channels in zip(unet.down_blocks, widths.block_out_channels, strict=True):
        block.motion_modules = nn.ModuleList([MotionModule(channels, widths) for _ in block.resnets])
    for block, channels in zip(unet.up_blocks, reversed(widths.block_out_channels), strict=True):
        block.motion_modules = nn.ModuleList([MotionModule(channels, widths) for _ in block.resnets])
    if mid:
        unet.mid_block.motion_modules = nn.ModuleList([MotionModule(widths.block_out_channels[-1], widths)])


def is_motion_key(key: str) -> bool:
    """Whether a key of a UNet belongs to its motion modules."""
    return ".motion_modules." in key
