"""MagicAnimate's golden quantities, computed by our networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from export.golden.bank_rows import check_pairing, clip_of, frames_of, no_features, rows_of, take_row
from export.golden.golden_set import GoldenSet, unet_widths_of
from export.golden.sampling_loop import check_timesteps, guide, loop, scheduler_of
from export.systems.loading import built_on_meta
from export.systems.magicanimate import MagicAnimate
from export.systems.masked_attention import attention_biases
from export.systems.parts import Sources
from export.systems.system import Features


class MagicAnimateRun:
    """The networks of one set in one precision."""

    def __init__(self, golden: GoldenSet, dtype: torch.dtype) -> None:
        self.golden = golden
        self.dtype = dtype
        self.system = built_on_meta(lambda: MagicAnimate(unet_widths_of(golden.config)))
        parts = {part.name: part for part in MagicAnimate.parts(Sources(golden.folder))}
        fill = partial(golden.fill, dtype=dtype)
        fill(self.system.unet, "unet", "motion_module", part=parts["unet"])
        fill(self.system.appearance_encoder, "appearance_encoder", part=parts["appearance_encoder"])
        fill(self.system.controlnet, "controlnet", part=parts["controlnet"])

    def given(self, name: str) -> Tensor:
        return self.golden.given(name, self.dtype)

    def compute(self) -> Iterator[tuple[str, Tensor]]:
        """Output name -> tensor, in the shape of the set."""
        yield from self.direct()
        yield from self.pipeline()
        yield from self.official()

    def direct(self) -> Iterator[tuple[str, Tensor]]:
        config, system = self.golden.config["direct"], self.system
        guided = config["do_classifier_free_guidance"]
        check_pairing(config)
        text = self.given("text_embeddings")
        clips = rows_of(self.given("latents"), len(text))
        timestep = self.given("timestep")
        bank = self.bank(rows_of(self.given("ref_latents"), len(text)), timestep, text)
        yield from ((f"bank/{name}", tensor) for name, tensor in zip(system.feature_names, bank, strict=True))
        frames = frames_of(clips[-1])
        times = timestep.expand(len(frames))
        residuals = self.residuals(frames, times, text[-1:], self.given("control_uint8").to(self.dtype) / 255)
        yield from ((f"controlnet/down_{k:02d}", tensor) for k, tensor in enumerate(residuals[:-1]))
        yield "controlnet/mid", residuals[-1]
        scaled = [tensor * config.get("controlnet_conditioning_scale", 1.0) for tensor in residuals]
        calibrated = [
            self.bank(self.given("calibrated_latents"), timestep, text[row : row + 1]) for row in range(len(text))
        ]

        def passes(*, banked: bool, controlled: bool, tpc: bool = False) -> Tensor:
            made = []
            for row, clip in enumerate(clips):
                reads = banked and (not guided or row >= len(clips) // 2)
                r = take_row(bank, row) if reads else no_features(bank)
                c = calibrated[row] if reads and tpc else no_features(bank)
                made.append(
                    self.denoise(frames_of(clip), times, text[row : row + 1], scaled if controlled else (), r, c)
                )
            return torch.stack([clip_of(frames) for frames in made])

        yield "unet/noise_pred_plain", passes(banked=False, controlled=False)
        yield "unet/noise_pred_no_controlnet", passes(banked=True, controlled=False)
        yield "unet/noise_pred", passes(banked=True, controlled=True)
        yield "tpc/noise_pred_plain_r_c", passes(banked=True, controlled=False, tpc=True)

    def pipeline(self) -> Iterator[tuple[str, Tensor]]:
        config = self.golden.config["pipeline"]
        scale = config["gs"]
        text = self.given("pipe_text_embeddings")
        pictures = self.given("pipe_control_uint8").permute(0, 3, 1, 2).to(self.dtype) / 255
        latents = frames_of(self.given("pipe_latents")[0])
        scheduler = scheduler_of(config)
        check_timesteps(scheduler.timesteps, config)

        def denoise(window: Tensor, timestep: Tensor, frames: list[int]) -> list[Tensor]:
            times = timestep.expand(len(window))
            residuals = self.residuals(window, times, text[-1:], pictures[list(frames)])
            bank = self.bank(self.given("pipe_ref_latents"), timestep, text[-1:])
            none = no_features(bank)
            made = [self.denoise(window, times, text[:1], residuals, none, none)] if scale > 1 else []
            return [*made, self.denoise(window, times, text[-1:], residuals, bank, none)]

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

    def official(self) -> Iterator[tuple[str, Tensor]]:
        """The attention of the authors' TPC release, without and with its calibrated features and masks."""
        text, timestep = self.given("tpc_text_embeddings"), self.given("timestep")
        frames = frames_of(self.given("latents")[-1])
        times = timestep.expand(len(frames))
        bank = self.bank(self.given("ref_latents")[-1:], timestep, text[-1:])
        calibrated = self.bank(self.given("calibrated_latents"), timestep, text[-1:])
        none = no_features(bank)
        biases = attention_biases(
            {name: tensor.shape[1] for name, tensor in zip(self.system.feature_names, bank, strict=True)},
            target=self.given("tpc_pose_mask64"),
            reference=self.given("tpc_ref_mask64"),
            calibrated=self.given("tpc_cal_mask64"),
            dtype=self.dtype,
        )
        unconditional = self.denoise(frames, times, text[:1], (), none, none)
        plain = self.denoise(frames, times, text[-1:], (), bank, none)
        masked = self.denoise(frames, times, text[-1:], (), bank, calibrated, biases)
        yield "tpc/noise_pred_official_nocal", torch.stack([clip_of(unconditional), clip_of(plain)])
        yield "tpc/noise_pred_official_cal", torch.stack([clip_of(unconditional), clip_of(masked)])

    def bank(self, latents: Tensor, timestep: Tensor, text: Tensor) -> tuple[Tensor, ...]:
        return self.system.write_bank(latents, timestep.expand(len(latents)), text)

    def residuals(self, frames: Tensor, times: Tensor, text: Tensor, pictures: Tensor) -> tuple[Tensor, ...]:
        return self.system.control(frames, times, text, self.system.pose_features(pictures))

    def denoise(
        self,
        frames: Tensor,
        times: Tensor,
        text: Tensor,
        residuals: Features,
        reference: Features,
        calibrated: Features,
        biases: dict[str, Tensor] | None = None,
    ) -> Tensor:
        return self.system.denoise(
            frames,
            times,
            context=text,
            residuals=residuals,
            reference=reference,
            calibrated=calibrated,
            calibrated_index=torch.arange(len(frames)) % max(len(calibrated[0]), 1),
            biases=biases,
        )
