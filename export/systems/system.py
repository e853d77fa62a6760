"""What the four systems have in common: traits, and one pass of the denoiser with r and c_i."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from torch import Tensor, nn

from export.systems.attention import Shown
from export.systems.loading import Loaded
from export.systems.parts import Part, Sources
from export.systems.vae import VaeDecoder, VaeEncoder

Features = Sequence[Tensor]
"""[N, tokens, C] each, in the order of `feature_names`."""
PoseDrawing = Literal["densepose", "dwpose-body", "openpose-18", "densepose-uv"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """The scheduler and the defaults that the authors sample with."""

    scheduler: Literal["ddim", "pndm"]
    prediction: Literal["epsilon", "v_prediction"]
    beta_schedule: Literal["linear", "scaled_linear"]
    timestep_spacing: Literal["leading", "trailing"]
    steps: int
    guidance_scale: float
    beta_start: float = 0.00085
    beta_end: float = 0.012
    steps_offset: int = 1
    set_alpha_to_one: bool = True
    rescale_zero_terminal_snr: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """What a system is, apart from its weights."""

    name: str
    licence: str
    kind: Literal["bank", "tokens"]
    """bank: features of a reference network, in attn1; tokens: an image encoder's, in attn2."""
    temporal: bool
    """Whether frames see each other."""
    window: int
    """Frames denoised together."""
    overlap: int
    max_window: int
    noise_period: int
    """0: each frame has a noise of its own; 1: all share one; n: n noises repeat along the video."""
    bank_follows_timestep: bool
    """Whether the features are written anew at every step."""
    has_control: bool
    has_background: bool
    pose_drawing: PoseDrawing
    width: int
    """Pixels that the authors publish results at."""
    height: int
    sampling: Sampling


class AnimationSystem(nn.Module, ABC):
    """A system's networks and how they are called. Frames of a window are the batch axis F."""

    traits: ClassVar[Traits]
    vae: nn.Module

    @classmethod
    @abstractmethod
    def parts(cls, sources: Sources) -> tuple[Part, ...]:
        """The state dicts that the system is published as."""

    @classmethod
    @abstractmethod
    def sized(cls, loaded: Mapping[str, Loaded], sources: Sources) -> Self:
        """Built at the widths that the files have."""

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """One a feature, in order: the blocks of a bank, or "tokens"."""

    @property
    def vae_encoder(self) -> VaeEncoder:
        return VaeEncoder(self.vae)

    @property
    def vae_decoder(self) -> VaeDecoder:
        return VaeDecoder(self.vae)

    @abstractmethod
    def pose_features(self, pictures: Tensor) -> Tensor:
        """[F, 3, H, W] RGB in [0, 1] -> [F, C, h, w]; once a frame, whatever the timestep."""

    @abstractmethod
    def denoise(
        self,
        latents: Tensor,
        timesteps: Tensor,
        *,
        context: Tensor | None,
        pose: Tensor | None,
        residuals: Features,
        reference: Features,
        calibrated: Features,
        calibrated_index: Tensor,
    ) -> Tensor:
        """One pass of the denoiser.

        Args:
            latents: [F, 4, h, w].
            timesteps: [F], each frame's own.
            context: [1 or F, T, C] that attn2 attends to, in the systems with a bank.
            pose: [F, C, h, w] from `pose_features`, in the systems without control.
            residuals: the 13 of `control`, or none.
            reference: r, [1, T, C] each; T may be 0.
            calibrated: the features of the U drawn frames, [U, T, C] each; T may be 0.
            calibrated_index: [F] int64, which of them each frame sees.
        Returns: [F, 4, h, w].
        """


def bank_of(
    names: Sequence[str],
    reference: Features,
    calibrated: Features,
    index: Tensor,
    *,
    biases: Mapping[str, Tensor] | None = None,
) -> dict[str, Shown]:
    """Block name -> what its attn1 is shown: K = V = [own, r, c_i]."""
    return {
        name: Shown(r, c, index, (biases or {}).get(name))
        for name, r, c in zip(names, reference, calibrated, strict=True)
    }
