"""The children of a Stable Diffusion 1.5 UNet and of a ControlNet, in the published order."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from export.systems.blocks import Block, Resample, ResNet, SpatialTransformer, TimeEmbedding, TimeProjection
from export.systems.widths import UNetWidths

EPSILON = 1e-5
LAYERS = 2
"""ResNets of a level on the way down; one more on the way up."""


def unet_parts(widths: UNetWidths, *, in_channels: int, out_channels: int) -> Iterator[tuple[str, nn.Module]]:
    """Names and networks of a UNet."""
    channels = widths.block_out_channels
    yield from _entrance(widths, in_channels)
    yield "down_blocks", nn.ModuleList(_down(widths))
    yield "up_blocks", nn.ModuleList(_up(widths))
    yield "mid_block", _middle(widths)
    yield "conv_norm_out", nn.GroupNorm(widths.norm_groups, channels[0], eps=EPSILON)
    yield "conv_out", nn.Conv2d(channels[0], out_channels, 3, padding=1)


def control_parts(widths: UNetWidths, condition: nn.Module, *, in_channels: int) -> Iterator[tuple[str, nn.Module]]:
    """Names and networks of a ControlNet; `condition` brings what controls it down to latent size."""
    channels = widths.block_out_channels
    yield from _entrance(widths, in_channels)
    yield "controlnet_cond_embedding", condition
    yield "down_blocks", nn.ModuleList(_down(widths))
    skips = [channels[0]]
    for level, width in enumerate(channels):
        skips += [width] * (LAYERS + (level < len(channels) - 1))
    yield "controlnet_down_blocks", nn.ModuleList([nn.Conv2d(width, width, 1) for width in skips])
    yield "controlnet_mid_block", nn.Conv2d(channels[-1], channels[-1], 1)
    yield "mid_block", _middle(widths)


def _entrance(widths: UNetWidths, in_channels: int) -> Iterator[tuple[str, nn.Module]]:
    first = widths.block_out_channels[0]
    yield "conv_in", nn.Conv2d(in_channels, first, 3, padding=1)
    yield "time_proj", TimeProjection(first)
    yield "time_embedding", TimeEmbedding(first, 4 * first)


def _down(widths: UNetWidths) -> Iterator[Block]:
    channels, last = widths.block_out_channels, len(widths.block_out_channels) - 1
    for level, after in enumerate(channels):
        before = channels[max(level - 1, 0)]
        resnets = [_resnet(widths, before if k == 0 else after, after) for k in range(LAYERS)]
        # the deepest level has no transformers
        attentions = None if level == last else [_transformer(widths, after) for _ in resnets]
        down = None if level == last else Resample(after, stride=2)
        yield Block(resnets, attentions, down=down)


def _middle(widths: UNetWidths) -> Block:
    width = widths.block_out_channels[-1]
    return Block([_resnet(widths, width, width) for _ in range(2)], [_transformer(widths, width)])


def _up(widths: UNetWidths) -> Iterator[Block]:
    channels = widths.block_out_channels
    coming = channels[-1]
    for level in reversed(range(len(channels))):
        after, below = channels[level], channels[max(level - 1, 0)]
        resnets = []
        for k in range(LAYERS + 1):
            skip = below if k == LAYERS else after
            resnets.append(_resnet(widths, (coming if k == 0 else after) + skip, after))
        attentions = None if level == len(channels) - 1 else [_transformer(widths, after) for _ in resnets]
        yield Block(resnets, attentions, up=Resample(after) if level else None)
        coming = after


def _resnet(widths: UNetWidths, before: int, after: int) -> ResNet:
    return ResNet(before, after, groups=widths.norm_groups, epsilon=EPSILON, time=4 * widths.block_out_channels[0])


def _transformer(widths: UNetWidths, channels: int) -> SpatialTransformer:
    return SpatialTransformer(channels, heads=widths.heads, shown=widths.cross_attention_dim, groups=widths.norm_groups)
