"""DreamPose's golden quantities, computed by our networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from export.golden.golden_set import GoldenSet, unet_widths_of
from export.golden.sampling_loop import check_timesteps, loop, scheduler_of
from export.systems.dreampose import DreamPose
from export.systems.loading import built_on_meta
from export.systems.parts import Sources


class DreamPoseRun:
    """The networks of one set in one precision."""

    def __init__(self, golden: GoldenSet, dtype: torch.dtype) -> None:
        self.golden = golden
        self.dtype = dtype
        adapter = golden.config["adapter"]
        rows, columns = adapter["vae_latent_hw"]
        self.system = built_on_meta(
            lambda: DreamPose(
                unet_widths_of(golden.config), latent_cells=(rows // 2) * (columns // 2), tokens=adapter["clip_tokens"]
            )
        )
        parts = {part.name: part for part in DreamPose.parts(Sources(golden.folder))}
        for name in ("unet", "adapter"):
            golden.fill(self.system.get_submodule(name), name, part=parts[name], dtype=dtype)
        adapt = self.system.adapter
        self.conditional = adapt(self.given("clip_tokens"), self.given("vae_latents"))
        self.unconditional = adapt(self.given("uncond_clip_tokens"), self.given("uncond_vae_latents"))

    def given(self, name: str) -> Tensor:
        return self.golden.given(name, self.dtype)

    def compute(self) -> Iterator[tuple[str, Tensor]]:
        """Output name -> tensor, in the shape of the set."""
        yield from self.direct()
        yield from self.pipeline()

    def direct(self) -> Iterator[tuple[str, Tensor]]:
        guided = self.golden.config["direct"]["cfg"]
        yield "adapter/cond", self.conditional
        yield "adapter/uncond", self.unconditional
        latents, pose = self.given("latents"), self.given("pose")
        # the sets' pictures are smaller or larger than 8 times their latents: the nearest pixel, whatever the factor
        small = torch.nn.functional.interpolate(pose, latents.shape[2:])
        zero = torch.zeros_like(small)
        as_kept = len(self.golden.outputs["pose_at_latent_size"])
        yield "pose_at_latent_size", torch.cat([zero, small, zero]) if as_kept != len(small) else small
        timestep = self.given("timestep")
        yield "unet/noise_pred", torch.cat(self.passes(latents, timestep, small, guided=guided))
        calibrated = self.system.adapter(self.given("calibrated_clip_tokens"), self.given("calibrated_vae_latents"))
        yield "tpc/noise_pred_r_c", torch.cat(self.passes(latents, timestep, small, calibrated, guided=guided))

    def pipeline(self) -> Iterator[tuple[str, Tensor]]:
        config = self.golden.config["pipeline"]
        noise, start = self.given("pipe_fixed_noise"), self.given("pipe_ref_latents")
        poses = self.given("pipe_pose")

        def guided(predictions: list[Tensor]) -> Tensor:
            unconditional, full, image = predictions
            return unconditional + config["s1"] * (image - unconditional) + config["s2"] * (full - image)

        for frame in range(config["frames"]):
            scheduler = scheduler_of(config)
            kept = min(int(config["steps"] * config.get("strength", 1.0)), config["steps"])
            timesteps = scheduler.timesteps[max(config["steps"] - kept, 0) :]
            check_timesteps(timesteps, config)
            latents = scheduler.add_noise(start, noise, timesteps[:1])
            # diffusers 0.14 left its alphas in the precision of what it had added noise to
            scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(self.dtype)
            yield f"pipeline/frame_{frame}/init_latents", latents
            small = torch.nn.functional.interpolate(poses[frame : frame + 1], latents.shape[2:])
            steps = loop(
                latents,
                scheduler,
                timesteps,
                denoise=partial(self._pass, pose=small),
                guided=guided,
                windows=[range(len(latents))],
            )
            for number, (prediction, latents) in enumerate(steps):
                yield f"pipeline/frame_{frame}/step_{number}/noise_pred_guided", prediction
                yield f"pipeline/frame_{frame}/step_{number}/latents", latents
            yield f"pipeline/frame_{frame}/final_latents", latents

    def _pass(self, latents: Tensor, timestep: Tensor, frames: Sequence[int], *, pose: Tensor) -> list[Tensor]:
        return self.passes(latents, timestep, pose, guided=True)

    def passes(
        self,
        latents: Tensor,
        timestep: Tensor,
        pose: Tensor,
        calibrated: Tensor | None = None,
        *,
        guided: bool,
    ) -> list[Tensor]:
        """[with image and pose], or [with neither, with both, with the image alone]."""
        zero = torch.zeros_like(pose)
        full = self.denoise(latents, timestep, pose, self.conditional, calibrated)
        if not guided:
            return [full]
        neither = self.denoise(latents, timestep, zero, self.unconditional, None)
        return [neither, full, self.denoise(latents, timestep, zero, self.conditional, calibrated)]

    def denoise(
        self, latents: Tensor, timestep: Tensor, pose: Tensor, tokens: Tensor, calibrated: Tensor | None
    ) -> Tensor:
        c = tokens[:, :0] if calibrated is None else calibrated
        return self.system.denoise(
            latents,
            timestep.expand(len(latents)),
            pose=pose,
            reference=(tokens,),
            calibrated=(c,),
            calibrated_index=torch.arange(len(latents)) % len(c),
        )
