"""Our layers against those of diffusers: the same keys, in the same order, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from export.systems.control import ControlNet
from export.systems.random_checkpoint import TINY_UNET, TINY_VAE, randomise
from export.systems.unet import UNet
from export.systems.vae import KL_SCALE, VaeDecoder, VaeEncoder, build_tiny_vae, build_vae
from tests.stock_diffusers import stock_options


def same_weights(ours: nn.Module, stock: nn.Module) -> None:
    """Gives both the same random weights; keys, their order and their shapes must be the same."""
    randomise(ours, seed=3)
    shapes = [(key, value.shape) for key, value in ours.state_dict().items()]
    assert shapes == [(key, value.shape) for key, value in stock.state_dict().items()]
    stock.load_state_dict(ours.state_dict())
    ours.eval().requires_grad_(False)
    stock.eval().requires_grad_(False)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def agree(found: Tensor, wanted: Tensor) -> None:
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-5


def test_keys_come_in_the_published_order() -> None:
    """Random weights are drawn in it; that the numbers are the same too stands in test_systems_networks.py."""
    same_weights(UNet(TINY_UNET), UNet2DConditionModel(**stock_options(TINY_UNET)))
    widths = TINY_UNET.conditioning_channels
    stock = ControlNetModel(conditioning_embedding_out_channels=widths, **stock_options(TINY_UNET))
    same_weights(ControlNet(TINY_UNET), stock)


def _stock_kl() -> nn.Module:
    levels = len(TINY_VAE.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=TINY_VAE.block_out_channels, layers_per_block=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "make_stock", "scale"),
    [
        (lambda: build_vae(TINY_VAE), _stock_kl, KL_SCALE),
        (
            lambda: build_tiny_vae(8),
            lambda: AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4),
            1.0,
        ),
    ],
    ids=["kl", "tiny"],
)
def test_autoencoders(make: Callable[[], nn.Module], make_stock: Callable[[], nn.Module], scale: float) -> None:
    ours, stock = make(), make_stock()
    same_weights(ours, stock)
    pictures, latents = noise(2, 3, 64, 64).clamp(-1, 1), noise(2, 4, 8, 8)
    encoded = stock.encode(pictures)
    mean = encoded.latents if scale == 1.0 else encoded.latent_dist.mean
    agree(VaeEncoder(ours)(pictures), scale * mean)
    agree(VaeDecoder(ours)(latents), stock.decode(latents / scale).sample)
