"""TAESD (Bohan 2023), the tiny autoencoder for live use, with the keys that diffusers' AutoencoderTiny has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENCODER_BLOCKS = (1, 3, 3, 3)
DECODER_BLOCKS = (3, 3, 3, 1)
LATENT_CHANNELS = 4


class ConvBlock(nn.Module):
    """Three convolutions and what leads around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class TinyEncoder(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] -> latents [N, 4, H/8, W/8]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level, count in enumerate(ENCODER_BLOCKS):
            if level == 0:
                layers.append(nn.Conv2d(3, channels, 3, padding=1))
            else:
                layers.append(nn.Conv2d(channels, channels, 3, padding=1, stride=2, bias=False))
            layers += [ConvBlock(channels) for _ in range(count)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, LATENT_CHANNELS, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images + 1) / 2)  # it was trained on pictures in [0, 1]


class TinyDecoder(nn.Module):
    """Latents [N, 4, h, w] -> pictures [N, 3, 8 h, 8 w], about [-1, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(LATENT_CHANNELS, channels, 3, padding=1), nn.ReLU()]
        for level, count in enumerate(DECODER_BLOCKS):
            layers += [ConvBlock(channels) for _ in range(count)]
            if level < len(DECODER_BLOCKS) - 1:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
            else:
                layers.append(nn.Conv2d(channels, 3, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(3 * torch.tanh(latents / 3)) * 2 - 1  # what is far out is brought nearer


class TinyAutoencoder(nn.Module):
    """Both halves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = TinyEncoder(channels)
        self.decoder = TinyDecoder(channels)
