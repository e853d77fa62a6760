"""DisCo's temporal variant: a convolution over frames in every ResNet, an attention over frames in every block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from export.systems.attention import attend
from export.systems.blocks import Attention
from export.systems.frame_norm import FramePooledGroupNorm, pool_over_frames


def add_temporal_layers(network: nn.Module) -> None:
    """Gives a UNet or ControlNet DisCo's temporal layers; every GroupNorm of a ResNet pools over frames."""
    pool_over_frames(network)
    for name, module in list(network.named_modules()):
        if ".resnets." in name and hasattr(module, "conv2"):
            norm, channels = module.norm2, module.conv2.out_channels
            module.tem_norm = FramePooledGroupNorm(norm.num_groups, channels, eps=norm.eps)
            module.tem_conv = nn.Conv1d(channels, channels, kernel_size=3, padding=1)
        elif hasattr(module, "attn1"):
            channels = module.attn1.to_q.in_features
            module.tem_attn = Attention(channels, heads=module.attn1.heads)
            # published, trained or not, but never asked by the authors' forward
            module.tem_norm = nn.LayerNorm(channels)


def convolve_over_frames(resnet: nn.Module, x: Tensor) -> Tensor:
    """[F, C, h, w] -> the same, with each pixel's neighbours in time mixed in."""
    size = x.shape[2:]
    pixels = F.silu(resnet.tem_norm(x)).flatten(2).permute(2, 1, 0)
    return x + resnet.tem_conv(pixels).permute(2, 1, 0).unflatten(2, size)


def attend_over_frames(block: nn.Module, tokens: Tensor) -> Tensor:
    """[F, T, C] -> what is to be added: each place's frames look at each other, after norm2, not tem_norm."""
    return attend(block.tem_attn, block.norm2(tokens).transpose(0, 1), own=True).transpose(0, 1)
