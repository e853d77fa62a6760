"""Stable Diffusion's autoencoder (AutoencoderKL) with its published keys."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from export.systems.blocks import Block, Resample, ResNet
from export.systems.widths import VaeWidths

EPSILON = 1e-6
LAYERS = 2
"""ResNets of a level of the encoder; the decoder has one more."""


class PixelAttention(nn.Module):
    """Every pixel looks at all others, with one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=EPSILON)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> the same."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)[:, None]
        out = F.scaled_dot_product_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return x + self.to_out[0](out[:, 0]).transpose(1, 2).unflatten(2, x.shape[2:])


class Middle(nn.Module):
    """A ResNet, an attention, a ResNet."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([PixelAttention(channels, groups)])
        self.resnets = nn.ModuleList([_resnet(channels, channels, groups) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        return _through(self.resnets[1], self.attentions[0](_through(self.resnets[0], x)))


class Encoder(nn.Module):
    """Pictures [N, 3, H, W] -> [N, 2 C, h, w]: mean and log variance."""

    def __init__(self, widths: VaeWidths) -> None:
        super().__init__()
        channels, groups = widths.block_out_channels, widths.norm_groups
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for level, after in enumerate(channels):
            before = channels[max(level - 1, 0)]
            resnets = [_resnet(before if k == 0 else after, after, groups) for k in range(LAYERS)]
            # a pixel is added on two sides alone, before the convolution
            down = None if level == len(channels) - 1 else Resample(after, stride=2, padding=0)
            self.down_blocks.append(Block(resnets, down=down))
        self.mid_block = Middle(channels[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], eps=EPSILON)
        self.conv_out = nn.Conv2d(channels[-1], 2 * widths.latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv_in(images)
        for block in self.down_blocks:
            for resnet in block.resnets:
                x = _through(resnet, x)
            if block.downsamplers is not None:
                x = block.downsamplers[0].conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latents [N, C, h, w] -> pictures [N, 3, H, W]."""

    def __init__(self, widths: VaeWidths) -> None:
        super().__init__()
        channels, groups = widths.block_out_channels[::-1], widths.norm_groups
        self.conv_in = nn.Conv2d(widths.latent_channels, channels[0], 3, padding=1)
        self.up_blocks = nn.ModuleList()
        for level, after in enumerate(channels):
            before = channels[max(level - 1, 0)]
            resnets = [_resnet(before if k == 0 else after, after, groups) for k in range(LAYERS + 1)]
            self.up_blocks.append(Block(resnets, up=None if level == len(channels) - 1 else Resample(after)))
        self.mid_block = Middle(channels[0], groups)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], eps=EPSILON)
        self.conv_out = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(latents))
        for block in self.up_blocks:
            for resnet in block.resnets:
                x = _through(resnet, x)
            if block.upsamplers is not None:
                x = block.upsamplers[0].conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    """Both halves, and the convolutions of one pixel between them."""

    def __init__(self, widths: VaeWidths) -> None:
        super().__init__()
        latent = widths.latent_channels
        self.encoder = Encoder(widths)
        self.decoder = Decoder(widths)
        self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1)
        self.post_quant_conv = nn.Conv2d(latent, latent, 1)


def _resnet(before: int, after: int, groups: int) -> ResNet:
    return ResNet(before, after, groups=groups, epsilon=EPSILON, time=None)


def _through(resnet: nn.Module, x: Tensor) -> Tensor:
    y = resnet.conv2(F.silu(resnet.norm2(resnet.conv1(F.silu(resnet.norm1(x))))))
    return y + (x if resnet.conv_shortcut is None else resnet.conv_shortcut(x))
