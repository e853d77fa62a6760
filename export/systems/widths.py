"""How wide a Stable Diffusion 1.5 shaped network is: given, or read off a checkpoint's own shapes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class UNetWidths:
    """Sizes of a UNet and of the ControlNets that go with it; the defaults are Stable Diffusion 1.5's."""

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    cross_attention_dim: int = 768
    heads: int = 8
    """Of every attention; no shape tells it."""
    norm_groups: int = 32
    """Of every GroupNorm; no shape tells it."""
    conditioning_channels: tuple[int, ...] = (16, 32, 96, 256)
    """Of the convolutions that bring a pose picture down to latent size."""
    frames: int = 32
    """Positions that the motion modules know; nothing to networks without them."""


SD15 = UNetWidths()


@dataclass(frozen=True, slots=True)
class ClipWidths:
    """Sizes of a CLIP tower; the defaults are ViT-L/14's."""

    hidden: int = 1024
    intermediate: int = 4096
    layers: int = 24
    heads: int = 16
    projection: int = 768
    image: int = 224
    """Pixels on each side."""
    patch: int = 14
    """Pixels on each side."""
    activation: str = "quick_gelu"

    @property
    def positions(self) -> int:
        """Tokens: one for the class and one a patch."""
        return (self.image // self.patch) ** 2 + 1


CLIP_VIT_L_14 = ClipWidths()
CLIP_VIT_B_32 = ClipWidths(hidden=768, intermediate=3072, layers=12, heads=12, projection=512, patch=32)


@dataclass(frozen=True, slots=True)
class TextWidths:
    """Sizes of a CLIP text tower; the defaults are those of Stable Diffusion 1.5."""

    hidden: int = 768
    intermediate: int = 3072
    layers: int = 12
    heads: int = 12
    vocabulary: int = 49408
    positions: int = 77
    activation: str = "quick_gelu"


@dataclass(frozen=True, slots=True)
class VaeWidths:
    """Sizes of an AutoencoderKL; the defaults are Stable Diffusion's."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    latent_channels: int = 4
    norm_groups: int = 32


Config = Mapping[str, Any]
"""A config.json that lay beside the weights, or nothing."""


def unet_widths(
    tensors: Mapping[str, Tensor],
    config: Config,
    *,
    frames: int = 32,
    conditioning: tuple[int, ...] = SD15.conditioning_channels,
) -> UNetWidths:
    """The widths that most of a UNet's tensors agree on: one wrong tensor is then found, not believed.

    Args:
        tensors: a UNet's state dict, with the keys of the published one.
        config: its config.json; only what no shape tells is taken from it.
        frames: positions of the motion modules.
        conditioning: channels of the pose pictures' convolutions.
    """
    levels = len({m[1] for key in tensors if (m := re.match(r"down_blocks\.(\d+)\.resnets", key))}) or 4
    channels = tuple(
        most_common(
            (t.shape[0] for key, t in tensors.items() if re.match(rf"down_blocks\.{k}\.resnets\.\d+\.conv[12]\.", key)),
            SD15.block_out_channels[min(k, 3)],
        )
        for k in range(levels)
    )
    return UNetWidths(
        block_out_channels=channels,
        cross_attention_dim=most_common(
            (t.shape[-1] for key, t in tensors.items() if re.search(r"attn2\.to_[kv]\.weight$", key)),
            SD15.cross_attention_dim,
        ),
        heads=_number(config.get("attention_head_dim"), SD15.heads),
        norm_groups=_number(config.get("norm_num_groups"), SD15.norm_groups),
        conditioning_channels=conditioning,
        frames=frames,
    )


def frames_of(tensors: Mapping[str, Tensor], *, default: int) -> int:
    """Positions that most motion modules know."""
    return most_common(
        (t.shape[1] for k, t in tensors.items() if k.endswith("pos_encoder.pe") and t.dim() > 1), default
    )


def conditioning_channels(tensors: Mapping[str, Tensor], *, prefix: str = "") -> tuple[int, ...]:
    """Of the convolutions that bring a pose picture down: (16, 32, 96, 256) where the checkpoint does not tell."""
    default = SD15.conditioning_channels
    first = tensors.get(f"{prefix}conv_in.bias")
    found = [default[0] if first is None else first.shape[0]]
    for k, known in enumerate(default[1:]):
        bias = tensors.get(f"{prefix}blocks.{2 * k + 1}.bias")
        found.append(known if bias is None else bias.shape[0])
    return tuple(found)


def clip_widths(tensors: Mapping[str, Tensor], config: Config, *, default: ClipWidths) -> ClipWidths:
    """The widths of a CLIP vision tower. ViT heads are 64 wide unless the config says otherwise."""
    config = config.get("vision_config", config)
    hidden = most_common(
        (t.shape[0] for key, t in tensors.items() if key.endswith("layer_norm1.weight")), default.hidden
    )
    patch = tensors.get("vision_model.embeddings.patch_embedding.weight")
    positions = tensors.get("vision_model.embeddings.position_embedding.weight")
    size = default.patch if patch is None else patch.shape[-1]
    across = default.image // default.patch if positions is None else round((positions.shape[0] - 1) ** 0.5)
    projection = tensors.get("visual_projection.weight")
    return ClipWidths(
        hidden=hidden,
        intermediate=_intermediate(tensors, default.intermediate),
        layers=_layers(tensors, default.layers),
        heads=_number(config.get("num_attention_heads"), max(hidden // 64, 1)),
        projection=default.projection if projection is None else projection.shape[0],
        image=across * size,
        patch=size,
        activation=str(config.get("hidden_act", default.activation)),
    )


def text_widths(tensors: Mapping[str, Tensor], config: Config) -> TextWidths:
    """The widths of a CLIP text tower."""
    default = TextWidths()
    hidden = most_common(
        (t.shape[0] for key, t in tensors.items() if key.endswith("layer_norm1.weight")), default.hidden
    )
    tokens = tensors.get("text_model.embeddings.token_embedding.weight")
    positions = tensors.get("text_model.embeddings.position_embedding.weight")
    return TextWidths(
        hidden=hidden,
        intermediate=_intermediate(tensors, default.intermediate),
        layers=_layers(tensors, default.layers),
        heads=_number(config.get("num_attention_heads"), max(hidden // 64, 1)),
        vocabulary=default.vocabulary if tokens is None else tokens.shape[0],
        positions=default.positions if positions is None else positions.shape[0],
        activation=str(config.get("hidden_act", default.activation)),
    )


def vae_widths(tensors: Mapping[str, Tensor], config: Config) -> VaeWidths:
    """The widths of an AutoencoderKL."""
    default = VaeWidths()
    levels = len({m[1] for key in tensors if (m := re.match(r"encoder\.down_blocks\.(\d+)\.", key))}) or 4
    channels = tuple(
        most_common(
            (
                t.shape[0]
                for key, t in tensors.items()
                if re.match(rf"encoder\.down_blocks\.{k}\.resnets\.\d+\.conv[12]\.", key)
            ),
            default.block_out_channels[min(k, 3)],
        )
        for k in range(levels)
    )
    latent = tensors.get("decoder.conv_in.weight")
    return VaeWidths(
        block_out_channels=channels,
        latent_channels=default.latent_channels if latent is None else latent.shape[1],
        norm_groups=_number(config.get("norm_num_groups"), default.norm_groups),
    )


def most_common(values: Iterable[int], default: int) -> int:
    """The value that comes most often, or `default` for none."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else default


def _layers(tensors: Mapping[str, Tensor], default: int) -> int:
    numbers = {int(m[1]) for key in tensors if (m := re.search(r"\.encoder\.layers\.(\d+)\.", key))}
    return max(numbers) + 1 if numbers else default


def _intermediate(tensors: Mapping[str, Tensor], default: int) -> int:
    return most_common((t.shape[0] for key, t in tensors.items() if key.endswith("mlp.fc1.bias")), default)


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
