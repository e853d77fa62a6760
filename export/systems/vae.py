"""Between pictures and latents: AutoencoderKL, or AutoencoderTiny (TAESD) for live use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from export.systems.autoencoder import Autoencoder
from export.systems.key_names import bare_vae_tensors, shifted_taesd_decoder, without_prefix
from export.systems.loading import Loaded
from export.systems.parts import Part, Sources, below, weights_in
from export.systems.tiny_autoencoder import TinyAutoencoder
from export.systems.widths import VaeWidths, most_common, vae_widths

KL_SCALE = 0.18215
"""Latents are the encoder's mean times this (Stable Diffusion 1.x)."""
TINY_CHANNELS = 64
TAESD = "https://github.com/madebyollin/taesd or https://huggingface.co/madebyollin/taesd"
SD_VAE = "https://huggingface.co/stabilityai/sd-vae-ft-mse"
STEMS = ("diffusion_pytorch_model", "model", "vae")


class VaeEncoder(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] -> latents [N, 4, H/8, W/8], the mean, scaled."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor) -> Tensor:
        if isinstance(self.vae, TinyAutoencoder):
            return self.vae.encoder(images)
        moments = self.vae.quant_conv(self.vae.encoder(images))
        return KL_SCALE * moments.chunk(2, dim=1)[0]


class VaeDecoder(nn.Module):
    """Latents [N, 4, h, w] -> pictures [N, 3, 8 h, 8 w], about [-1, 1]."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: Tensor) -> Tensor:
        if isinstance(self.vae, TinyAutoencoder):
            return self.vae.decoder(latents)
        return self.vae.decoder(self.vae.post_quant_conv(latents / KL_SCALE))


def build_vae(widths: VaeWidths) -> Autoencoder:
    """Stable Diffusion's VAE at these widths."""
    return Autoencoder(widths)


def build_tiny_vae(channels: int = TINY_CHANNELS) -> TinyAutoencoder:
    """TAESD at this width."""
    return TinyAutoencoder(channels)


def vae_parts(sources: Sources, *, prefix: str = "", own: tuple[str, ...] = ()) -> tuple[Part, ...]:
    """The VAE's files.

    Args:
        sources: tells the kind, and where to look.
        prefix: before the VAE's keys in the system's one file; that file then holds it, unless another is given.
        own: globs below the checkpoint for a VAE that the system publishes itself.
    """
    if sources.vae_kind == "tiny":
        return _tiny_parts(sources)
    if prefix and sources.vae is None:
        return (
            Part(
                "vae",
                "vae",
                (("checkpoint", own[0]), ("checkpoint", "")),
                SD_VAE,
                prefix=prefix,
                convert=bare_vae_tensors,
            ),
        )
    inside = weights_in("sd-vae-ft-mse", "pretrained_models/sd-vae-ft-mse", "vae")
    places = (
        ("vae", ""),
        *below("vae", tuple(glob for stem in STEMS for glob in weights_in("", stem=stem))),
        *below("checkpoint", own + inside),
        *below("base", weights_in("vae")),
    )
    return (Part("vae", "vae", places, SD_VAE, convert=bare_vae_tensors),)


def _tiny_parts(sources: Sources) -> tuple[Part, ...]:
    """One file as diffusers keeps it, or the encoder and the decoder as they were first published."""
    folder = sources.vae
    pair = [part for part in ("encoder", "decoder") if folder is not None and list(folder.glob(f"taesd_{part}.*"))]
    if pair:
        return tuple(
            Part(
                f"vae_{half}",
                "vae",
                below("vae", (f"taesd_{half}.safetensors", f"taesd_{half}.pth")),
                TAESD,
                holds=_encoder_key if half == "encoder" else _decoder_key,
                convert=_taesd_encoder if half == "encoder" else _taesd_decoder,
            )
            for half in ("encoder", "decoder")
        )
    return (Part("vae", "vae", (("vae", ""), *below("vae", weights_in(""))), TAESD),)


def vae_from(loaded: Mapping[str, Loaded], kind: str) -> nn.Module:
    """The network that fits what was read."""
    if kind == "kl":
        return build_vae(vae_widths(loaded["vae"].tensors, loaded["vae"].config))
    tensors = [value for item in loaded if item.startswith("vae") for value in loaded[item].tensors.values()]
    return build_tiny_vae(most_common((value.shape[0] for value in tensors), TINY_CHANNELS))


def _encoder_key(key: str) -> bool:
    return key.startswith("encoder.")


def _decoder_key(key: str) -> bool:
    return key.startswith("decoder.")


def _taesd_encoder(tensors: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    bare = without_prefix(tensors, ("module.",), path=path)
    return {f"encoder.layers.{key}": value for key, value in bare.items()}


def _taesd_decoder(tensors: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    bare = without_prefix(tensors, ("module.",), path=path)
    return {f"decoder.layers.{key}": value for key, value in shifted_taesd_decoder(bare).items()}
