"""The 256-pixel autoencoder: the latents are the 128-pixel one's, of the picture halved; the decoder draws them finer.

The animator is then the same net at the same cost, and its weights fit both bundles.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.mannequin.networks import Autoencoder, Residual, norm

FINE = 24
"""Channels at half of the enlarged size; four of them are the smaller picture and its matte."""


def halved(images: Tensor, mattes: Tensor) -> tuple[Tensor, Tensor]:
    """Images [N, 3, H, W] and mattes [N, 1, H, W] at half the size, by area; what no matte covers has no weight."""
    small = functional.avg_pool2d(mattes, 2)
    return functional.avg_pool2d(images * mattes, 2) / small.clamp_min(1 / 255), small


class EnlargingAutoencoder(nn.Module):
    """Pictures of twice the size of the autoencoder that it is made from, and that one's latents."""

    DOWNSCALE = 2 * Autoencoder.DOWNSCALE

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.base = copy.deepcopy(autoencoder)
        last = self.base.decoder[-2]
        assert isinstance(last, nn.Conv2d)
        width = last.in_channels
        self.widen = nn.Sequential(nn.Conv2d(width, 4 * (FINE - 4), 3, padding=1), nn.PixelShuffle(2))
        self.fine = nn.Sequential(
            Residual(FINE, FINE), Residual(FINE, FINE), norm(FINE), nn.SiLU(), nn.Conv2d(FINE, 16, 3, padding=1)
        )
        outlet = self.fine[-1]
        assert isinstance(outlet, nn.Conv2d) and outlet.bias is not None
        nn.init.zeros_(outlet.weight)
        nn.init.zeros_(outlet.bias)

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    def encode(self, images: Tensor, mattes: Tensor) -> Tensor:
        """[N, z, h, w] from images [N, 3, H, W] in [-1, 1] and mattes [N, 1, H, W] in [0, 1]."""
        return self.base.encode(*halved(images, mattes))

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Images [N, 3, H, W] in [-1, 1], straight colours, and mattes in [0, 1]; not clamped while training.

        What the smaller decoder makes, enlarged, and what is added to it.
        """
        *trunk, normed, active, outlet, shuffle = self.base.decoder
        h = latents * self.base.deviation + self.base.mean
        for layer in trunk:
            h = layer(h)
        small = shuffle(outlet(active(normed(h))))
        added = functional.pixel_shuffle(self.fine(torch.cat([self.widen(h), small], 1)), 2)
        y = functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False) + added
        images, mattes = y[:, :3], y[:, 3:] * 0.5 + 0.5
        if self.training:
            return images, mattes
        return images.clamp(-1, 1), ((mattes - 0.03) / 0.94).clamp(0, 1)  # no faint veil where nobody is


def load_enlarging(path: Path, autoencoder: Autoencoder) -> EnlargingAutoencoder:
    """What `polish --size 256` wrote, in evaluation mode; `autoencoder` gives the sizes of its layers."""
    model = EnlargingAutoencoder(autoencoder)
    model.load_state_dict(torch.load(path, map_location="cpu")["weights"])
    return model.eval().to(memory_format=torch.channels_last)
