"""DisCo (Apache-2.0), and its temporal variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from export.systems.attention import Shown
from export.systems.clip import ClipVision
from export.systems.control import ControlNet
from export.systems.loading import Loaded
from export.systems.parts import POSITION_IDS, Part, Sources
from export.systems.system import AnimationSystem, Features, Sampling, Traits
from export.systems.temporal_conv import add_temporal_layers
from export.systems.unet import UNet
from export.systems.vae import vae_from, vae_parts
from export.systems.widths import CLIP_VIT_L_14, ClipWidths, UNetWidths, clip_widths, conditioning_channels, unet_widths

ZOO = "the model zoo of https://github.com/Wangt-CN/DisCo"
FILE = "mp_rank_00_model_states.pt"
PLACES = (("checkpoint", f"**/{FILE}"), ("checkpoint", ""))


class DisCo(AnimationSystem):
    """CLIP tokens of the person in attn2; one ControlNet for the pose, one for the background."""

    traits = Traits(
        name="disco",
        licence="Apache-2.0",
        kind="tokens",
        temporal=False,
        window=8,
        overlap=0,
        max_window=64,
        noise_period=0,
        bank_follows_timestep=False,
        has_control=True,
        has_background=True,
        pose_drawing="openpose-18",
        width=256,
        height=256,
        sampling=Sampling(
            scheduler="ddim",
            prediction="epsilon",
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            set_alpha_to_one=False,
            steps=50,
            guidance_scale=3.0,
        ),
    )

    def __init__(self, widths: UNetWidths, *, clip: ClipWidths = CLIP_VIT_L_14) -> None:
        super().__init__()
        self.unet = UNet(widths)
        self.controlnet_pose = ControlNet(widths)
        self.controlnet_background = ControlNet(widths, latents=True)
        self.clip_image_encoder = ClipVision(clip)
        self.refer_clip_proj = nn.Linear(clip.hidden, widths.cross_attention_dim, bias=False)

    @classmethod
    def parts(cls, sources: Sources) -> tuple[Part, ...]:
        return (
            Part("unet", "unet", PLACES, ZOO, prefix="unet."),
            Part("controlnet_pose", "controlnet_pose", PLACES, ZOO, prefix="controlnet.nets.0."),
            Part("controlnet_background", "controlnet_background", PLACES, ZOO, prefix="controlnet.nets.1."),
            Part(
                "clip_image_encoder",
                "clip_image_encoder",
                PLACES,
                ZOO,
                prefix="clip_image_encoder.",
                excuses=(POSITION_IDS,),
            ),
            Part("refer_clip_proj", "refer_clip_proj", PLACES, ZOO, prefix="refer_clip_proj."),
            *vae_parts(sources, prefix="vae.", own=(f"**/{FILE}",)),
        )

    @classmethod
    def sized(cls, loaded: Mapping[str, Loaded], sources: Sources) -> Self:
        unet, clip = loaded["unet"], loaded["clip_image_encoder"]
        conditioning = conditioning_channels(loaded["controlnet_pose"].tensors, prefix="controlnet_cond_embedding.")
        widths = unet_widths(unet.tensors, unet.config, conditioning=conditioning)
        system = cls(widths, clip=clip_widths(clip.tensors, clip.config, default=CLIP_VIT_L_14))
        system.vae = vae_from(loaded, sources.vae_kind)
        return system

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("tokens",)

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S], as CLIP wants them, 0 outside the person -> [N, 257, C]."""
        return self.refer_clip_proj(self.clip_image_encoder.normed(pixels))

    def unconditional_tokens(self) -> Tensor:
        """[1, 257, C] of zeros; a model that was trained to drop its reference wants `image_tokens` of zeros."""
        positions = self.clip_image_encoder.vision_model.embeddings.position_embedding.weight.shape[0]
        weight = self.refer_clip_proj.weight
        return torch.zeros(1, positions, weight.shape[0], dtype=weight.dtype, device=weight.device)

    def pose_features(self, pictures: Tensor) -> Tensor:
        return self.controlnet_pose.controlnet_cond_embedding(pictures)

    def background_features(self, latents: Tensor) -> Tensor:
        """[1, 4, h, w], the background's latents -> [1, C, h, w]; once a video."""
        return self.controlnet_background.controlnet_cond_embedding(latents)

    def control(
        self, latents: Tensor, timesteps: Tensor, context: Tensor, pose: Tensor, background: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The 13 residuals of both ControlNets together.

        Args:
            latents: [F, 4, h, w].
            timesteps: [F].
            context: [1 or F, T, C]: the tokens of the half of guidance that the residuals are for.
            pose: [F, C, h, w] from `pose_features`.
            background: [1, C, h, w] from `background_features`.
        """
        shown = Shown(context)
        residuals = self.controlnet_pose(latents, timesteps, shown, pose)
        if background is None:
            return residuals
        others = self.controlnet_background(latents, timesteps, shown, background)
        return tuple(a + b for a, b in zip(residuals, others, strict=True))

    def denoise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        *,
        context: Tensor | None = None,
        pose: Tensor | None = None,
        residuals: Features,
        reference: Features,
        calibrated: Features,
        calibrated_index: Tensor,
    ) -> Tensor:
        (r,), (c,) = reference, calibrated
        return self.unet(latents, timesteps, Shown(r, c, calibrated_index), residuals=residuals)


class DisCoTemporal(DisCo):
    """The variant whose networks see the frames of a window together."""

    traits = replace(DisCo.traits, name="disco-tm", temporal=True, window=16, overlap=4)

    def __init__(self, widths: UNetWidths, *, clip: ClipWidths = CLIP_VIT_L_14) -> None:
        super().__init__(widths, clip=clip)
        for network in (self.unet, self.controlnet_pose, self.controlnet_background):
            add_temporal_layers(network)
