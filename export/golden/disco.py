"""DisCo's golden quantities, with and without its temporal layers, computed by our networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from export.golden.bank_rows import clip_of
from export.golden.golden_set import GoldenSet, clip_widths_of, unet_widths_of
from export.golden.sampling_loop import check_timesteps, guide, loop, scheduler_of
from export.systems.attention import Shown
from export.systems.disco import DisCo, DisCoTemporal
from export.systems.loading import built_on_meta
from export.systems.parts import Sources

PARTS = ("unet", "controlnet_pose", "controlnet_background", "clip_image_encoder", "refer_clip_proj")


class DisCoRun:
    """The networks of one set in one precision. A half is the tokens [1, T, C] of one half of guidance."""

    def __init__(self, golden: GoldenSet, dtype: torch.dtype) -> None:
        self.golden = golden
        self.dtype = dtype
        cls = DisCoTemporal if golden.config["temporal"] else DisCo
        self.temporal = cls.traits.temporal
        self.system = built_on_meta(lambda: cls(unet_widths_of(golden.config), clip=clip_widths_of(golden.config)))
        for part in cls.parts(Sources(golden.folder)):
            if part.name in PARTS:
                golden.fill(self.system.get_submodule(part.module), part.name, part=part, dtype=dtype)
        self.latents = self.given("latents")
        self.count = len(self.latents)
        self.pose = self.system.pose_features(self.given("pose_uint8").to(dtype) / 255)
        self.background = self.system.background_features(self.given("background_latents"))
        self.tokens = self.system.image_tokens(self.given("clip_pixels"))

    def given(self, name: str) -> Tensor:
        return self.golden.given(name, self.dtype)

    def halves(self, *, guided: bool) -> list[Tensor]:
        """[conditional], or [unconditional, conditional]."""
        if not guided:
            return [self.tokens]
        if self.golden.config["direct"]["drop_ref"] > 0:
            return [self.system.image_tokens(torch.zeros_like(self.given("clip_pixels"))), self.tokens]
        return [torch.zeros_like(self.tokens), self.tokens]

    def shaped(self, halves: Sequence[Tensor]) -> Tensor:
        """[F, ...] of each half in the shape of the set: frames behind one another, or a clip a half."""
        return torch.stack([clip_of(half) for half in halves]) if self.temporal else torch.cat(list(halves))

    def repeated(self, halves: Sequence[Tensor]) -> Tensor:
        """Tokens in the shape of the set: once a frame, or once a clip."""
        return torch.cat([half if self.temporal else half.expand(self.count, -1, -1) for half in halves])

    def compute(self) -> Iterator[tuple[str, Tensor]]:
        """Output name -> tensor, in the shape of the set."""
        yield from self.direct()
        yield from self.pipeline()

    def direct(self) -> Iterator[tuple[str, Tensor]]:
        config = self.golden.config["direct"]
        halves = self.halves(guided=config["do_classifier_free_guidance"])
        times = self.given("timestep").expand(self.count)
        scales = config["conditioning_scale"]
        yield "refer_latents", self.repeated(halves)
        nets = {"pose": self.system.controlnet_pose, "background": self.system.controlnet_background}
        conditions = {"pose": self.pose, "background": self.background}
        apart = {
            name: [net(self.latents, times, Shown(half), conditions[name]) for half in halves]
            for name, net in nets.items()
        }
        for name, scale in zip(nets, scales, strict=True):
            apart[name] = [tuple(scale * tensor for tensor in half) for half in apart[name]]
            yield from self.residuals(f"controlnet_{name}", apart[name])
        together = [
            tuple(a + b for a, b in zip(pose, background, strict=True))
            for pose, background in zip(apart["pose"], apart["background"], strict=True)
        ]
        yield from self.residuals("controlnet_sum", together)
        none: list[tuple[Tensor, ...]] = [() for _ in halves]
        for name, residuals in (("unet/noise_pred_plain", none), ("unet/noise_pred", together)):
            yield name, self.shaped([self.denoise(times, h, r) for h, r in zip(halves, residuals, strict=True)])
        if "calibrated_clip_pixels" in self.golden.inputs:
            yield from self.calibrated(halves, times, together, scales)

    def calibrated(
        self,
        halves: Sequence[Tensor],
        times: Tensor,
        residuals: Sequence[tuple[Tensor, ...]],
        scales: Sequence[float],
    ) -> Iterator[tuple[str, Tensor]]:
        """Tokens [r, c_i] in the UNet alone, and in all three networks.

        With guidance the set tells by the shape of its calibrated tokens whether the unconditional half has its own
        (twice the same tokens, which changes nothing) or is shown c_i as well.
        """
        c = self.system.image_tokens(self.given("calibrated_clip_pixels"))
        name = "tpc/refer_latents_calibrated"
        each = len(halves) > 1 and len(self.golden.outputs[name]) == len(halves) * len(c)
        shown = [halves[0].expand(len(c), -1, -1), c] if each else [c] * len(halves)
        yield name, torch.cat(shown) if each else c
        made = [self.denoise(times, h, r, s) for h, r, s in zip(halves, residuals, shown, strict=True)]
        yield "tpc/noise_pred_unet_only", self.shaped(made)
        made = []
        for half, more in zip(halves, shown, strict=True):
            context = Shown(torch.cat([half.expand(len(more), -1, -1), more], dim=1))
            pose = self.system.controlnet_pose(self.latents, times, context, self.pose)
            background = self.system.controlnet_background(self.latents, times, context, self.background)
            both = tuple(scales[0] * a + scales[1] * b for a, b in zip(pose, background, strict=True))
            made.append(self.denoise(times, half, both, more))
        yield "tpc/noise_pred_unet_and_controlnets", self.shaped(made)

    def pipeline(self) -> Iterator[tuple[str, Tensor]]:
        config = self.golden.config["pipeline"]
        scale = config["guidance_scale"]
        scales = self.golden.config["direct"]["conditioning_scale"]
        halves = self.halves(guided=scale > 1)
        scheduler = scheduler_of(config)
        check_timesteps(scheduler.timesteps, config)

        def denoise(latents: Tensor, timestep: Tensor, frames: Sequence[int]) -> list[Tensor]:
            times = timestep.expand(len(latents))
            made = []
            for half in halves:
                pose = self.system.controlnet_pose(latents, times, Shown(half), self.pose)
                background = self.system.controlnet_background(latents, times, Shown(half), self.background)
                both = tuple(scales[0] * a + scales[1] * b for a, b in zip(pose, background, strict=True))
                made.append(self.denoise(times, half, both, latents=latents))
            return made

        latents = self.latents * scheduler.init_noise_sigma
        steps = loop(
            latents,
            scheduler,
            scheduler.timesteps,
            denoise=denoise,
            guided=partial(guide, scale=scale),
            windows=[range(self.count)],
        )
        for number, (prediction, latents) in enumerate(steps):
            yield f"pipeline/step_{number}/noise_pred_guided", self.shaped([prediction])
            yield f"pipeline/step_{number}/latents", self.shaped([latents])
        yield "pipeline/final_latents", self.shaped([latents])

    def residuals(self, name: str, halves: Sequence[tuple[Tensor, ...]]) -> Iterator[tuple[str, Tensor]]:
        tensors = [self.shaped(same) for same in zip(*halves, strict=True)]
        yield from ((f"{name}/down_{k:02d}", tensor) for k, tensor in enumerate(tensors[:-1]))
        yield f"{name}/mid", tensors[-1]

    def denoise(
        self,
        times: Tensor,
        tokens: Tensor,
        residuals: tuple[Tensor, ...],
        calibrated: Tensor | None = None,
        *,
        latents: Tensor | None = None,
    ) -> Tensor:
        c = tokens[:, :0] if calibrated is None else calibrated
        return self.system.denoise(
            self.latents if latents is None else latents,
            times,
            residuals=residuals,
            reference=(tokens,),
            calibrated=(c,),
            calibrated_index=torch.arange(len(times)) % len(c),
        )
