"""DreamPose (MIT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from export.systems.adapter import Adapter
from export.systems.attention import Shown
from export.systems.clip import ClipVision
from export.systems.loading import Loaded
from export.systems.parts import POSITION_IDS, Excuse, Part, Sources, below, weights_in
from export.systems.system import AnimationSystem, Features, Sampling, Traits
from export.systems.unet import UNet
from export.systems.vae import vae_from, vae_parts
from export.systems.widths import CLIP_VIT_B_32, ClipWidths, UNetWidths, clip_widths, unet_widths

REPOSITORY = "https://github.com/johannakarras/DreamPose (its UBC Fashion checkpoints, or your own fine-tuning)"
CLIP = "https://huggingface.co/openai/clip-vit-base-patch32"
POSE_CHANNELS = 10
"""Five frames' DensePose UV: the two before, the frame's own, the two after."""
OTHER_TOWER = Excuse(
    r"text_model\..*|(text|visual)_projection\..*|logit_scale", "of CLIP only the vision tower is asked"
)


class DreamPose(AnimationSystem):
    """CLIP and VAE tokens of the person in attn2; the pose stands beside the latents."""

    traits = Traits(
        name="dreampose",
        licence="MIT",
        kind="tokens",
        temporal=False,
        window=8,
        overlap=0,
        max_window=64,
        noise_period=1,
        bank_follows_timestep=False,
        has_control=False,
        has_background=False,
        pose_drawing="densepose-uv",
        width=512,
        height=640,
        sampling=Sampling(
            scheduler="pndm",
            prediction="epsilon",
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            set_alpha_to_one=False,
            steps=100,
            guidance_scale=0.5,
        ),
    )
    image_guidance_scale = 0.5
    """s1, of the image; the traits' guidance_scale is s2, of the pose."""

    def __init__(
        self, widths: UNetWidths, *, clip: ClipWidths = CLIP_VIT_B_32, latent_cells: int = 1280, tokens: int = 50
    ) -> None:
        """`latent_cells`: of the adapter's latents after 2x2 pooling, (H/16)(W/16); 1280 is 640x512."""
        super().__init__()
        self.unet = UNet(widths, in_channels=4 + POSE_CHANNELS)
        self.adapter = Adapter(tokens=tokens, channels=widths.cross_attention_dim, latent_cells=latent_cells)
        self.clip = ClipVision(clip, projection=False)
        self.latent_cells = latent_cells

    @classmethod
    def parts(cls, sources: Sources) -> tuple[Part, ...]:
        return (
            Part("unet", "unet", _epochs("unet_epoch_*", "unet"), REPOSITORY),
            Part("adapter", "adapter", _epochs("adapter_*", "adapter"), REPOSITORY),
            Part(
                "clip",
                "clip",
                (
                    ("clip", ""),
                    *below("clip", weights_in("", stem="model") + weights_in("", stem="pytorch_model")),
                    *below("checkpoint", weights_in("clip-vit-base-patch32", stem="model")),
                    *below("checkpoint", weights_in("clip-vit-base-patch32", stem="pytorch_model")),
                ),
                CLIP,
                excuses=(POSITION_IDS, OTHER_TOWER),
            ),
            *vae_parts(sources, own=tuple(f"vae_*.{ending}" for ending in ("safetensors", "pth", "pt"))),
        )

    @classmethod
    def sized(cls, loaded: Mapping[str, Loaded], sources: Sources) -> Self:
        unet, adapter, clip = (loaded[name] for name in ("unet", "adapter", "clip"))
        cells, tokens = adapter.tensors.get("vae2clip.weight"), adapter.tensors.get("linear1.bias")
        system = cls(
            unet_widths(unet.tensors, unet.config),
            clip=clip_widths(clip.tensors, clip.config, default=CLIP_VIT_B_32),
            latent_cells=1280 if cells is None else cells.shape[-1],
            tokens=50 if tokens is None else tokens.shape[0],
        )
        system.vae = vae_from(loaded, sources.vae_kind)
        return system

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("tokens",)

    def image_tokens(self, pixels: Tensor, latents: Tensor) -> Tensor:
        """[N, 50, C] of N pictures; unconditional tokens are those of a black picture, and latents of zeros' encoding.

        Args:
            pixels: [N, 3, S, S], as CLIP wants them.
            latents: [N, 4, H/8, W/8] of the picture in 0 to 255: that is what the adapter was trained on.
        """
        return self.adapter(self.clip.hidden(pixels), latents)

    def pose_features(self, pictures: Tensor) -> Tensor:
        """[F, 10, H, W] -> [F, 10, H/8, W/8], the nearest pixel."""
        height, width = pictures.shape[2:]
        return F.interpolate(pictures, size=(height // 8, width // 8), mode="nearest")

    def denoise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        *,
        context: Tensor | None = None,
        pose: Tensor | None,
        residuals: Features = (),
        reference: Features,
        calibrated: Features,
        calibrated_index: Tensor,
    ) -> Tensor:
        (r,), (c,) = reference, calibrated
        both = latents if pose is None else torch.cat([latents, pose], dim=1)
        return self.unet(both, timesteps, Shown(r, c, calibrated_index))


def _epochs(*stems: str) -> tuple[tuple[str, str], ...]:
    endings = ("safetensors", "pth", "pt", "bin")
    return below("checkpoint", tuple(f"{stem}.{ending}" for stem in stems for ending in endings))
