"""DreamPose's adapter: CLIP tokens and a VAE latent of the same picture become the tokens of attn2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(nn.Module):
    """[N, tokens, C] and [N, 4, H/8, W/8] -> [N, tokens, C]."""

    def __init__(self, *, tokens: int = 50, channels: int = 768, latent_cells: int = 1280) -> None:
        """`latent_cells`: of the latents after 2x2 pooling; 1280 is a 640x512 picture."""
        super().__init__()
        self.vae2clip = nn.Linear(latent_cells, channels)
        self.linear1 = nn.Linear(tokens + 4, tokens)

    def forward(self, tokens: Tensor, latents: Tensor) -> Tensor:
        extra = self.vae2clip(F.max_pool2d(latents, 2).flatten(2))
        both = torch.cat([tokens, extra], dim=1)
        return self.linear1(both.transpose(1, 2)).transpose(1, 2)
