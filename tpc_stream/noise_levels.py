"""Noise levels: which timesteps a few-step run visits, and how much signal and noise a latent holds at each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.manifest import SamplingSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NoiseLevels:
    """S steps from noise to picture: latents = alpha * sample + sigma * noise, before and after each step."""

    timesteps: Floats
    """[S] what the network is told, falling."""
    alphas: Floats
    """[S] signal before the step."""
    sigmas: Floats
    """[S] noise before the step."""
    next_alphas: Floats
    """[S] signal after the step."""
    next_sigmas: Floats
    """[S] noise after the step."""

    def __len__(self) -> int:
        return len(self.timesteps)


def noise_levels(spec: SamplingSpec, *, steps: int) -> NoiseLevels:
    """The levels of a bundle's scheduler; InputError for an impossible number of steps."""
    if steps < 1:
        raise InputError(f"the denoising loop needs at least 1 step, got {steps}")
    return flow_levels(steps) if spec.scheduler == "flow" else ddim_levels(spec, steps=steps)


def flow_levels(steps: int) -> NoiseLevels:
    """Straight-line flow: alpha = 1 - t, sigma = t, with t in S equal steps from 1 to 0."""
    t = np.linspace(1.0, 0.0, steps + 1)
    return NoiseLevels(timesteps=t[:-1], alphas=1 - t[:-1], sigmas=t[:-1], next_alphas=1 - t[1:], next_sigmas=t[1:])


def ddim_levels(spec: SamplingSpec, *, steps: int) -> NoiseLevels:
    """DDIM (Song et al. 2021, eq. 12 with eta = 0): alpha^2 is the cumulative product of 1 - beta.

    The zero terminal signal-to-noise rescaling is Lin et al. 2024, algorithm 1. A step's target is the level
    T // S train steps below, as in the common implementations, also where that is not the next step's own level.
    """
    total = spec.num_train_timesteps
    if steps > total:
        raise InputError(f"the scheduler has {total} train timesteps, got {steps} steps")
    cumulative = _cumulative(spec)
    final = 1.0 if spec.set_alpha_to_one else cumulative[0]
    timesteps = _timesteps(spec, steps)
    previous = timesteps - total // steps
    here = cumulative[timesteps]
    there = np.where(previous >= 0, cumulative[np.maximum(previous, 0)], final)
    return NoiseLevels(
        timesteps=timesteps.astype(np.float64),
        alphas=np.sqrt(here),
        sigmas=np.sqrt(1 - here),
        next_alphas=np.sqrt(there),
        next_sigmas=np.sqrt(1 - there),
    )


def _cumulative(spec: SamplingSpec) -> Floats:
    if spec.beta_schedule == "linear":
        betas = np.linspace(spec.beta_start, spec.beta_end, spec.num_train_timesteps)
    else:
        betas = np.linspace(spec.beta_start**0.5, spec.beta_end**0.5, spec.num_train_timesteps) ** 2
    cumulative = np.cumprod(1 - betas)
    if spec.rescale_zero_terminal_snr:
        root = np.sqrt(cumulative)
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        cumulative = root**2
    return np.asarray(cumulative, dtype=np.float64)


def _timesteps(spec: SamplingSpec, steps: int) -> NDArray[np.int64]:
    total = spec.num_train_timesteps
    if spec.timestep_spacing == "leading":
        timesteps = np.arange(steps, dtype=np.float64)[::-1] * (total // steps) + spec.steps_offset
    elif spec.timestep_spacing == "trailing":
        timesteps = np.round(np.arange(total, 0, -total / steps)) - 1
    else:
        timesteps = np.round(np.linspace(0, total - 1, steps))[::-1]
    if timesteps.max() >= total:
        raise InputError(
            f"{steps} steps with offset {spec.steps_offset} go to timestep {timesteps.max():.0f}, past {total - 1}"
        )
    return timesteps.astype(np.int64)
