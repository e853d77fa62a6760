"""AnimateAnyone's golden quantities, computed by our networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from export.golden.bank_rows import check_pairing, clip_of, frames_of, no_features, rows_of, take_row
from export.golden.golden_set import GoldenSet, unet_widths_of
from export.golden.sampling_loop import check_timesteps, guide, loop, scheduler_of
from export.systems.animate_anyone import AnimateAnyone
from export.systems.loading import built_on_meta
from export.systems.parts import Sources
from export.systems.system import Features


class AnimateAnyoneRun:
    """The networks of one set in one precision."""

    def __init__(self, golden: GoldenSet, dtype: torch.dtype) -> None:
        self.golden = golden
        self.dtype = dtype
        self.system = built_on_meta(lambda: AnimateAnyone(unet_widths_of(golden.config)))
        parts = {part.name: part for part in AnimateAnyone.parts(Sources(golden.folder))}
        fill = partial(golden.fill, dtype=dtype)
        fill(self.system.denoising_unet, "denoising_unet", "motion_module", part=parts["denoising_unet"])
        fill(self.system.reference_unet, "reference_unet", part=parts["reference_unet"])
        fill(self.system.pose_guider, "pose_guider", part=parts["pose_guider"])

    def given(self, name: str) -> Tensor:
        return self.golden.given(name, self.dtype)

    def compute(self) -> Iterator[tuple[str, Tensor]]:
        """Output name -> tensor, in the shape of the set."""
        yield from self.direct()
        yield from self.pipeline()

    def direct(self) -> Iterator[tuple[str, Tensor]]:
        config = self.golden.config["direct"]
        guided = config["do_classifier_free_guidance"]
        embedding = self.given("clip_embeds")
        if guided and len(embedding) == 1:
            context = torch.cat([torch.zeros_like(embedding), embedding])
        else:
            context, embedding = embedding, embedding[-1:]
        check_pairing(config)
        clips = rows_of(self.given("latents"), len(context))
        timestep = self.given("timestep")
        at = config["reference_timestep"]
        bank = self.bank(rows_of(self.given("ref_latents"), len(context)), at, context)
        yield from ((f"bank/{name}", tensor) for name, tensor in zip(self.system.feature_names, bank, strict=True))
        pose = self.pose("pose_uint8")
        yield "pose_guider/out", clip_of(pose)[None]
        calibrated = self.bank(self.given("calibrated_latents"), at, embedding)

        def passes(*, banked: bool, posed: bool, tpc: bool = False) -> Tensor:
            made = []
            for row, clip in enumerate(clips):
                reads = banked and (not guided or row >= len(clips) // 2)
                r = take_row(bank, row) if reads else no_features(bank)
                c = calibrated if reads and tpc else no_features(bank)
                frames = frames_of(clip)
                made.append(self.denoise(frames, timestep, context[row : row + 1], pose if posed else None, r, c))
            return torch.stack([clip_of(frames) for frames in made])

        yield "unet/noise_pred_plain", passes(banked=False, posed=False)
        yield "unet/noise_pred_no_pose", passes(banked=True, posed=False)
        yield "unet/noise_pred", passes(banked=True, posed=True)
        yield "tpc/noise_pred_plain_r_c", passes(banked=True, posed=False, tpc=True)

    def pipeline(self) -> Iterator[tuple[str, Tensor]]:
        config = self.golden.config["pipeline"]
        scale = config["gs"]
        embedding = self.given("pipe_clip_embeds")
        pose = self.pose("pipe_pose_uint8")
        latents = frames_of(self.given("pipe_latents")[0])
        bank = self.bank(self.given("pipe_ref_latents"), 0, embedding)
        none = no_features(bank)
        scheduler = scheduler_of(config)
        check_timesteps(scheduler.timesteps, config)

        def denoise(window: Tensor, timestep: Tensor, frames: list[int]) -> list[Tensor]:
            shown = pose[list(frames)]
            zero = torch.zeros_like(embedding)
            made = [self.denoise(window, timestep, zero, shown, none, none)] if scale > 1 else []
            return [*made, self.denoise(window, timestep, embedding, shown, bank, none)]

        steps = loop(
            latents * scheduler.init_noise_sigma,
            scheduler,
            scheduler.timesteps,
            denoise=denoise,
            guided=partial(guide, scale=scale),
            windows=config["windows"],
        )
        for number, (prediction, latents) in enumerate(steps):
            yield f"pipeline/step_{number}/noise_pred_guided", clip_of(prediction)[None]
            yield f"pipeline/step_{number}/latents", clip_of(latents)[None]
        yield "pipeline/final_latents", clip_of(latents)[None]

    def bank(self, latents: Tensor, timestep: int, context: Tensor) -> tuple[Tensor, ...]:
        return self.system.write_bank(latents, torch.full((len(latents),), timestep), context)

    def pose(self, name: str) -> Tensor:
        return self.system.pose_features(self.given(name).permute(0, 3, 1, 2).to(self.dtype) / 255)

    def denoise(
        self,
        frames: Tensor,
        timestep: Tensor,
        context: Tensor,
        pose: Tensor | None,
        reference: Features,
        calibrated: Features,
    ) -> Tensor:
        return self.system.denoise(
            frames,
            timestep.expand(len(frames)),
            context=context,
            pose=pose,
            reference=reference,
            calibrated=calibrated,
            calibrated_index=torch.arange(len(frames)) % max(len(calibrated[0]), 1),
        )
