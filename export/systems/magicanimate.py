"""MagicAnimate (ByteDance, BSD-3-Clause)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from torch import Tensor

from export.systems.attention import Shown
from export.systems.clip import ClipText
from export.systems.control import ControlNet
from export.systems.frame_norm import pool_over_frames
from export.systems.key_names import motion_tensors
from export.systems.loading import Loaded
from export.systems.motion_module import add_motion_modules, is_motion_key
from export.systems.parts import POSITION_IDS, Excuse, Part, Sources, below, weights_in
from export.systems.system import AnimationSystem, Features, Sampling, Traits, bank_of
from export.systems.unet import UNet, bank_names
from export.systems.vae import vae_from, vae_parts
from export.systems.widths import TextWidths, UNetWidths, conditioning_channels, frames_of, text_widths, unet_widths

HUB = "https://huggingface.co/zcxu-eric/MagicAnimate"
BASE = "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5"
CUT_OFF = Excuse(
    r"conv_(norm_)?out\..*|up_blocks\.3\.attentions\.2\.(proj_out|transformer_blocks\.0\.(attn[12]|ff|norm[23]))\..*",
    "the appearance encoder ends with its last feature",
)


def _is_spatial_key(key: str) -> bool:
    return not is_motion_key(key)


class MagicAnimate(AnimationSystem):
    """An appearance encoder writes 10 features at every step; attn1 of the middle and the way up read them."""

    traits = Traits(
        name="magicanimate",
        licence="BSD-3-Clause",
        kind="bank",
        temporal=True,
        window=16,
        overlap=4,
        max_window=24,
        noise_period=16,
        bank_follows_timestep=True,
        has_control=True,
        has_background=False,
        pose_drawing="densepose",
        width=512,
        height=512,
        sampling=Sampling(
            scheduler="ddim",
            prediction="epsilon",
            beta_schedule="linear",
            timestep_spacing="leading",
            steps=25,
            guidance_scale=7.5,
        ),
    )

    def __init__(self, widths: UNetWidths, *, text: TextWidths | None = None) -> None:
        super().__init__()
        self.appearance_encoder = UNet(widths, head=False)
        self.appearance_encoder.cut_after_last_feature()
        self.unet = UNet(widths)
        add_motion_modules(self.unet, widths, mid=False)
        pool_over_frames(self.unet)
        self.controlnet = ControlNet(widths)
        self.text_encoder = ClipText(text or TextWidths())

    @classmethod
    def parts(cls, sources: Sources) -> tuple[Part, ...]:
        return (
            Part("unet", "unet", _base(weights_in("unet")), f"{BASE} (unet)", holds=_is_spatial_key),
            Part(
                "motion_module",
                "unet",
                _own(weights_in("temporal_attention", "", stem="temporal_attention")),
                HUB,
                holds=is_motion_key,
                convert=motion_tensors,
                lends=True,
            ),
            Part(
                "appearance_encoder",
                "appearance_encoder",
                _own(weights_in("appearance_encoder")),
                HUB,
                excuses=(CUT_OFF,),
            ),
            Part("controlnet", "controlnet", _own(weights_in("densepose_controlnet")), HUB),
            Part(
                "text_encoder",
                "text_encoder",
                _base(weights_in("text_encoder", stem="model") + weights_in("text_encoder", stem="pytorch_model")),
                f"{BASE} (text_encoder)",
                excuses=(POSITION_IDS,),
            ),
            *vae_parts(sources),
        )

    @classmethod
    def sized(cls, loaded: Mapping[str, Loaded], sources: Sources) -> Self:
        unet, text = loaded["unet"], loaded["text_encoder"]
        widths = unet_widths(
            unet.tensors,
            unet.config,
            frames=frames_of(loaded["motion_module"].tensors, default=cls.traits.max_window),
            conditioning=conditioning_channels(loaded["controlnet"].tensors, prefix="controlnet_cond_embedding."),
        )
        system = cls(widths, text=text_widths(text.tensors, text.config))
        system.vae = vae_from(loaded, sources.vae_kind)
        return system

    @property
    def feature_names(self) -> tuple[str, ...]:
        return bank_names(self.unet, down=False)

    def text_tokens(self) -> Tensor:
        """[1, 77, C]: the empty text, on both sides of guidance."""
        return self.text_encoder.empty_text()

    def write_bank(self, latents: Tensor, timesteps: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """The features of N pictures at the timesteps of the step.

        Args:
            latents: [N, 4, h, w].
            timesteps: [N].
            context: [1 or N, T, C], the text.
        """
        written: dict[str, Tensor] = {}
        self.appearance_encoder(latents, timesteps, Shown(context), written=written)
        return tuple(written[name] for name in self.feature_names)

    def pose_features(self, pictures: Tensor) -> Tensor:
        return self.controlnet.controlnet_cond_embedding(pictures)

    def control(
        self, latents: Tensor, timesteps: Tensor, context: Tensor, pose: Tensor, background: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The ControlNet's 13 residuals; the same for both halves of guidance.

        Args:
            latents: [F, 4, h, w].
            timesteps: [F].
            context: [1 or F, T, C], the conditional text.
            pose: [F, C, h, w] from `pose_features`.
        """
        return self.controlnet(latents, timesteps, Shown(context), pose)

    def denoise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        *,
        context: Tensor | None,
        pose: Tensor | None = None,
        residuals: Features,
        reference: Features,
        calibrated: Features,
        calibrated_index: Tensor,
        biases: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """`biases`: block name -> [F, own tokens, own + r + c tokens], the authors' masks (`masked_attention`)."""
        bank = bank_of(self.feature_names, reference, calibrated, calibrated_index, biases=biases)
        return self.unet(latents, timesteps, Shown(context), residuals=residuals, bank=bank)


def _own(patterns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return below("checkpoint", patterns + tuple(f"MagicAnimate/{pattern}" for pattern in patterns))


def _base(patterns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    inside = tuple(f"stable-diffusion-v1-5/{pattern}" for pattern in patterns)
    return (*below("base", patterns), *below("checkpoint", inside))
