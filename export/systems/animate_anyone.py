"""AnimateAnyone, in the open implementation of Moore Threads (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from torch import Tensor

from export.systems.attention import Shown
from export.systems.clip import ClipVision
from export.systems.control import PosePyramid
from export.systems.loading import Loaded
from export.systems.motion_module import add_motion_modules, is_motion_key
from export.systems.parts import POSITION_IDS, Excuse, Part, Sources, below, weights_in
from export.systems.system import AnimationSystem, Features, Sampling, Traits, bank_of
from export.systems.unet import UNet, bank_names
from export.systems.vae import vae_from, vae_parts
from export.systems.widths import (
    CLIP_VIT_L_14,
    ClipWidths,
    UNetWidths,
    clip_widths,
    conditioning_channels,
    frames_of,
    unet_widths,
)

HUB = "https://huggingface.co/patrolli/AnimateAnyone"
ENCODER = "https://huggingface.co/lambdalabs/sd-image-variations-diffusers (image_encoder)"
NO_HEAD = Excuse(r"conv_(norm_)?out\.(weight|bias)", "the reference network ends before its output")
MOTION_ELSEWHERE = Excuse(r".*\.motion_modules\..*", "motion_module.pth holds the motion modules")


def _is_spatial_key(key: str) -> bool:
    return not is_motion_key(key)


class AnimateAnyone(AnimationSystem):
    """A reference UNet writes 16 features once, at timestep 0; the denoiser's attn1 read them."""

    traits = Traits(
        name="animate-anyone",
        licence="Apache-2.0",
        kind="bank",
        temporal=True,
        window=24,
        overlap=4,
        max_window=32,
        noise_period=0,
        bank_follows_timestep=False,
        has_control=False,
        has_background=False,
        pose_drawing="dwpose-body",
        width=512,
        height=784,
        sampling=Sampling(
            scheduler="ddim",
            prediction="v_prediction",
            beta_schedule="linear",
            timestep_spacing="trailing",
            rescale_zero_terminal_snr=True,
            steps=30,
            guidance_scale=3.5,
        ),
    )

    def __init__(self, widths: UNetWidths, *, clip: ClipWidths = CLIP_VIT_L_14) -> None:
        super().__init__()
        self.reference_unet = UNet(widths, head=False)
        self.denoising_unet = UNet(widths)
        add_motion_modules(self.denoising_unet, widths, mid=True)
        self.pose_guider = PosePyramid(widths)
        self.image_encoder = ClipVision(clip)

    @classmethod
    def parts(cls, sources: Sources) -> tuple[Part, ...]:
        return (
            Part("reference_unet", "reference_unet", _files("reference_unet"), HUB, excuses=(NO_HEAD,)),
            Part(
                "denoising_unet",
                "denoising_unet",
                _files("denoising_unet"),
                HUB,
                holds=_is_spatial_key,
                excuses=(MOTION_ELSEWHERE,),
            ),
            Part("motion_module", "denoising_unet", _files("motion_module"), HUB, holds=is_motion_key),
            Part("pose_guider", "pose_guider", _files("pose_guider"), HUB),
            Part(
                "image_encoder",
                "image_encoder",
                (
                    ("clip", ""),
                    *below("clip", weights_in("", stem="model") + weights_in("", stem="pytorch_model")),
                    *below("checkpoint", weights_in("image_encoder", stem="model")),
                    *below("checkpoint", weights_in("image_encoder", stem="pytorch_model")),
                ),
                ENCODER,
                excuses=(POSITION_IDS,),
            ),
            *vae_parts(sources),
        )

    @classmethod
    def sized(cls, loaded: Mapping[str, Loaded], sources: Sources) -> Self:
        unet, guider, clip = (loaded[name] for name in ("denoising_unet", "pose_guider", "image_encoder"))
        widths = unet_widths(
            unet.tensors,
            unet.config,
            frames=frames_of(loaded["motion_module"].tensors, default=cls.traits.max_window),
            conditioning=conditioning_channels(guider.tensors),
        )
        system = cls(widths, clip=clip_widths(clip.tensors, clip.config, default=CLIP_VIT_L_14))
        system.vae = vae_from(loaded, sources.vae_kind)
        return system

    @property
    def feature_names(self) -> tuple[str, ...]:
        return bank_names(self.denoising_unet, down=True)

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S], as CLIP wants them -> [N, 1, C]: the picture's one embedding."""
        return self.image_encoder.embedding(pixels)

    def write_bank(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """The features of N pictures.

        Args:
            latents: [N, 4, h, w].
            timesteps: [N]; the authors' is 0.
            context: [1 or N, 1, C], the embedding of the reference, also for its calibrated copies.
        """
        written: dict[str, Tensor] = {}
        self.reference_unet(latents, timesteps, Shown(context), written=written)
        return tuple(written[name] for name in self.feature_names)

    def pose_features(self, pictures: Tensor) -> Tensor:
        return self.pose_guider(pictures)

    def denoise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        *,
        context: Tensor | None,
        pose: Tensor | None,
        residuals: Features = (),
        reference: Features,
        calibrated: Features,
        calibrated_index: Tensor,
    ) -> Tensor:
        bank = bank_of(self.feature_names, reference, calibrated, calibrated_index)
        return self.denoising_unet(latents, timesteps, Shown(context), added=pose, residuals=residuals, bank=bank)


def _files(stem: str) -> tuple[tuple[str, str], ...]:
    return below("checkpoint", (f"{stem}.safetensors", f"{stem}.pth", f"{stem}.pt", f"{stem}.bin", f"{stem}.ckpt"))
