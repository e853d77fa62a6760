"""The mannequin's sizes and its picture autoencoder.

Nothing here knows a background: pictures are screened to mid grey outside the person.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Widths:
    """Sizes of all networks; the defaults are those of the shipped bundle, tests take smaller ones."""

    latent_channels: int = 16
    autoencoder: tuple[int, int] = (32, 96)
    """Channels at a half and at a quarter of the picture's size."""
    levels: tuple[int, int, int] = (64, 96, 128)
    """Channels of both UNets at latent size, its half and its quarter."""
    time: int = 128
    guider: int = 48
    head: int = 64
    """Channels of an attention head, at most."""
    fine_tokens: int = 384
    """Tokens of a reference at latent size: those with the most person in them."""
    temporal: bool = False
    """Whether the frames of a window see each other in the denoiser."""


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


class Residual(nn.Module):
    """Two 3x3 convolutions with a shift by the time embedding."""

    def __init__(self, inputs: int, outputs: int, time: int = 0) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.time = nn.Linear(time, outputs) if time else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        if self.time is not None and t is not None:
            h = h + self.time(t)[:, :, None, None]
        return self.skip(x) + self.conv2(functional.silu(self.norm2(h)))


class Autoencoder(nn.Module):
    """Screened picture and matte <-> latents of unit variance at a quarter of the size."""

    DOWNSCALE = 4
    """Pixels that a latent cell spans on each axis."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        z, (half, quarter) = widths.latent_channels, widths.autoencoder
        self.encoder = nn.Sequential(
            nn.Conv2d(16, half, 3, padding=1), Residual(half, half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1), Residual(quarter, quarter), Residual(quarter, quarter),
            norm(quarter), nn.SiLU(), nn.Conv2d(quarter, z, 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(z, quarter, 3, padding=1), Residual(quarter, quarter), Residual(quarter, quarter),
            nn.Conv2d(quarter, half * 4, 3, padding=1), nn.PixelShuffle(2), Residual(half, half), Residual(half, half),
            norm(half), nn.SiLU(), nn.Conv2d(half, 16, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(1, z, 1, 1))
        self.register_buffer("deviation", torch.ones(1, z, 1, 1))

    def encode(self, images: Tensor, mattes: Tensor) -> Tensor:
        """[N, z, h, w] from images [N, 3, H, W] in [-1, 1] and mattes [N, 1, H, W] in [0, 1]."""
        x = torch.cat([images * mattes, mattes * 2 - 1], 1)
        return (self.encoder(functional.pixel_unshuffle(x, 2)) - self.mean) / self.deviation

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1], straight colours, and mattes in [0, 1]; not clamped while training."""
        y = self.decoder(latents * self.deviation + self.mean)
        images, mattes = y[:, :3], y[:, 3:] * 0.5 + 0.5
        if self.training:
            return images, mattes
        return images.clamp(-1, 1), ((mattes - 0.03) / 0.94).clamp(0, 1)  # no faint veil where nobody is
