"""ControlNets: what a pose picture, or a background, adds to the UNet's skip connections."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from export.systems.attention import Shown
from export.systems.unet import Walk, embed_time
from export.systems.unet_parts import control_parts
from export.systems.widths import UNetWidths


class PosePyramid(nn.Module):
    """Convolutions that bring a picture [F, 3, 8 h, 8 w] down to features [F, C, h, w]; it serves as PoseGuider too."""

    def __init__(self, widths: UNetWidths) -> None:
        super().__init__()
        channels = widths.conditioning_channels
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for before, after in pairwise(channels):
            self.blocks.append(nn.Conv2d(before, before, 3, padding=1))
            self.blocks.append(nn.Conv2d(before, after, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(channels[-1], widths.block_out_channels[0], 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures in [0, 1]."""
        x = F.silu(self.conv_in(pictures))
        for conv in self.blocks:
            x = F.silu(conv(x))
        return self.conv_out(x)


class LatentEmbedding(nn.Module):
    """One convolution on latents [1, 4, h, w]: the conditioning of DisCo's background ControlNet."""

    def __init__(self, widths: UNetWidths) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(4, widths.block_out_channels[0], 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        return self.conv_in(latents)


class ControlNet(nn.Module):
    """A ControlNet, walked so that it may hold temporal layers."""

    def __init__(self, widths: UNetWidths, *, latents: bool = False) -> None:
        """`latents`: whether it is conditioned on latents, not on a picture."""
        super().__init__()
        condition = (LatentEmbedding if latents else PosePyramid)(widths)
        for name, part in control_parts(widths, condition, in_channels=4):
            self.add_module(name, part)

    def forward(self, latents: Tensor, timesteps: Tensor, context: Shown, condition: Tensor) -> tuple[Tensor, ...]:
        """The 12 residuals of the skip connections and the middle's.

        Args:
            latents: [F, 4, h, w].
            timesteps: [F].
            context: what attn2 attends to.
            condition: [1 or F, C, h, w], from `controlnet_cond_embedding`, which needs no timestep.
        """
        walk = Walk(embed_time(self, timesteps, latents), context)
        x, skips = walk.down(self.down_blocks, self.conv_in(latents) + condition)
        x = walk.middle(self.mid_block, x)
        residuals = [zero(skip) for zero, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        return (*residuals, self.controlnet_mid_block(x))
