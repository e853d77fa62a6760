"""A Stable Diffusion 1.5 UNet whose walk knows banks and frames.

Frames of a window are the batch axis F. Keys and shapes are those of diffusers' UNet2DConditionModel; motion modules
and temporal layers, where there are any, have their authors' keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.systems.attention import Shown, attend
from export.systems.temporal_conv import attend_over_frames, convolve_over_frames
from export.systems.unet_parts import unet_parts
from export.systems.widths import UNetWidths

Residuals = Sequence[Tensor]
"""What a ControlNet adds: one for each of the 12 skip connections, then the middle's."""


class UNet(nn.Module):
    """The denoiser, or a reference network that only writes its bank."""

    def __init__(self, widths: UNetWidths, *, in_channels: int = 4, head: bool = True) -> None:
        """`head`: whether there is a conv_norm_out and a conv_out; reference networks are published without."""
        super().__init__()
        for name, part in unet_parts(widths, in_channels=in_channels, out_channels=4):
            self.add_module(name, part)
        if not head:
            del self.conv_norm_out, self.conv_out

    def cut_after_last_feature(self) -> None:
        """Drops what comes after norm1 of the last block: a reference network's last feature."""
        last = self.up_blocks[-1].attentions[-1]
        block = last.transformer_blocks[0]
        block.attn1 = block.attn2 = block.ff = block.norm2 = block.norm3 = last.proj_out = None

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Shown,
        *,
        added: Tensor | None = None,
        residuals: Residuals = (),
        bank: Mapping[str, Shown] | None = None,
        written: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """One pass.

        Args:
            latents: [F, C, h, w].
            timesteps: [F], each frame's own.
            context: what attn2 attends to.
            added: [F, channels, h, w], added after conv_in (AnimateAnyone's pose).
            residuals: a ControlNet's 13, or none.
            bank: block name -> what its attn1 is shown besides its own tokens.
            written: receives block name -> norm1's output [F, T, C], in the order of execution.
        Returns: [F, 4, h, w]; of a network without head the features before it.
        """
        walk = Walk(embed_time(self, timesteps, latents), context, bank or {}, written)
        x = self.conv_in(latents)
        if added is not None:
            x = x + added
        x, skips = walk.down(self.down_blocks, x)
        x = walk.middle(self.mid_block, x)
        if residuals:
            *downs, mid = residuals
            skips = [skip + residual for skip, residual in zip(skips, downs, strict=True)]
            x = x + mid
        x = walk.up(self.up_blocks, x, skips)
        if not hasattr(self, "conv_out"):
            return x
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def embed_time(network: nn.Module, timesteps: Tensor, latents: Tensor) -> Tensor:
    """[F, E]: each frame's timestep as the ResNets want it."""
    return network.time_embedding(network.time_proj(timesteps).to(latents.dtype))


@dataclass(slots=True)
class Walk:
    """One pass through the blocks of a UNet or ControlNet."""

    time: Tensor
    context: Shown
    bank: Mapping[str, Shown] = field(default_factory=dict)
    written: dict[str, Tensor] | None = None

    def down(self, blocks: nn.ModuleList, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The features at the bottom, and those for the skip connections."""
        skips = [x]
        for number, block in enumerate(blocks):
            for k in range(len(block.resnets)):
                x = self.layer(block, k, f"down_blocks.{number}", x)
                skips.append(x)
            if block.downsamplers is not None:
                x = block.downsamplers[0].conv(x)
                skips.append(x)
        return x, skips

    def middle(self, block: nn.Module, x: Tensor) -> Tensor:
        x = self.layer(block, 0, "mid_block", x)
        return self.resnet(block.resnets[1], x)

    def up(self, blocks: nn.ModuleList, x: Tensor, skips: list[Tensor]) -> Tensor:
        skips = list(skips)
        for number, block in enumerate(blocks):
            for k in range(len(block.resnets)):
                x = self.layer(block, k, f"up_blocks.{number}", torch.cat([x, skips.pop()], dim=1))
            if block.upsamplers is not None:
                # to the skip's size, not to the double: latents of 98 rows go 98, 49, 25, 13 and back
                x = block.upsamplers[0].conv(F.interpolate(x, size=skips[-1].shape[2:], mode="nearest"))
        return x

    def layer(self, block: nn.Module, k: int, name: str, x: Tensor) -> Tensor:
        """A ResNet, then the attention and the motion module behind it, where there are any."""
        x = self.resnet(block.resnets[k], x)
        attentions = getattr(block, "attentions", None)
        if attentions is not None:
            x = self.transformer(attentions[k], f"{name}.attentions.{k}", x)
        motion = getattr(block, "motion_modules", None)
        return x if motion is None else motion[k](x)

    def resnet(self, resnet: nn.Module, x: Tensor) -> Tensor:
        y = resnet.conv1(F.silu(resnet.norm1(x)))
        y = y + resnet.time_emb_proj(F.silu(self.time))[:, :, None, None]
        y = resnet.conv2(F.silu(resnet.norm2(y)))
        if hasattr(resnet, "tem_conv"):
            y = convolve_over_frames(resnet, y)
        return y + (x if resnet.conv_shortcut is None else resnet.conv_shortcut(x))

    def transformer(self, module: nn.Module, name: str, x: Tensor) -> Tensor:
        size = x.shape[2:]
        tokens = module.proj_in(module.norm(x)).flatten(2).transpose(1, 2)
        block = module.transformer_blocks[0]
        own = block.norm1(tokens)
        name = f"{name}.transformer_blocks.0"
        if self.written is not None:
            self.written[name] = own
        if block.attn1 is None:
            return x  # the end of a reference network that is published no further
        tokens = tokens + attend(block.attn1, own, own=True, shown=self.bank.get(name))
        if hasattr(block, "tem_attn"):
            tokens = tokens + attend_over_frames(block, tokens)
        tokens = tokens + attend(block.attn2, block.norm2(tokens), own=False, shown=self.context)
        tokens = tokens + block.ff(block.norm3(tokens))
        return x + module.proj_out(tokens.transpose(1, 2).unflatten(2, size))


def bank_names(unet: nn.Module, *, down: bool) -> tuple[str, ...]:
    """The names of the blocks that hold an attn1, in the order of execution; without `down`, middle and up only."""
    sides = [(f"down_blocks.{k}", block) for k, block in enumerate(unet.down_blocks)] if down else []
    sides.append(("mid_block", unet.mid_block))
    sides += [(f"up_blocks.{k}", block) for k, block in enumerate(unet.up_blocks)]
    return tuple(
        f"{name}.attentions.{k}.transformer_blocks.0"
        for name, block in sides
        for k in range(len(getattr(block, "attentions", None) or ()))
    )
