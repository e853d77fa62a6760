"""GroupNorm whose statistics are taken over all frames of a window together."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class FramePooledGroupNorm(nn.GroupNorm):
    """[F, C, h, w] -> the same: mean and variance over a group's channels, all pixels and all frames."""

    @classmethod
    def like(cls, norm: nn.GroupNorm) -> FramePooledGroupNorm:
        """The same parameters; only the statistics differ."""
        made = cls(norm.num_groups, norm.num_channels, eps=norm.eps, device="meta")
        made.weight, made.bias = norm.weight, norm.bias
        return made

    def forward(self, x: Tensor) -> Tensor:
        clip = x.transpose(0, 1).unsqueeze(0)
        pooled = F.group_norm(clip, self.num_groups, self.weight, self.bias, self.eps)
        return pooled.squeeze(0).transpose(0, 1)


def pool_over_frames(network: nn.Module) -> None:
    """Lets every ResNet of a UNet or ControlNet, and a UNet's last norm, pool their statistics over frames."""
    for name, module in list(network.named_modules()):
        if ".resnets." in name and isinstance(getattr(module, "norm1", None), nn.GroupNorm):
            module.norm1 = FramePooledGroupNorm.like(module.norm1)
            module.norm2 = FramePooledGroupNorm.like(module.norm2)
    if isinstance(getattr(network, "conv_norm_out", None), nn.GroupNorm):
        network.conv_norm_out = FramePooledGroupNorm.like(network.conv_norm_out)
