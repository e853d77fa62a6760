"""Noise levels: which timesteps a few-step run visits, and how much signal and noise a latent holds at each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.manifest import SamplingSpec

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NoiseLevels:
    """S passes from noise to picture: latents = alpha * sample + sigma * noise, before and after each move."""

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
    if spec.scheduler == "flow":
        return flow_levels(steps)
    return pndm_levels(spec, steps=steps) if spec.scheduler == "pndm" else ddim_levels(spec, steps=steps)


def flow_levels(steps: int) -> NoiseLevels:
    """Straight-line flow: alpha = 1 - t, sigma = t, with t in S equal steps from 1 to 0."""
    t = np.linspace(1.0, 0.0, steps + 1)
    return NoiseLevels(timesteps=t[:-1], alphas=1 - t[:-1], sigmas=t[:-1], next_alphas=1 - t[1:], next_sigmas=t[1:])


def ddim_levels(spec: SamplingSpec, *, steps: int) -> NoiseLevels:
    """DDIM (Song et al. 2021, eq. 12 with eta = 0): alpha^2 is the cumulative product of 1 - beta.

    The zero terminal signal-to-noise rescaling is Lin et al. 2024, algorithm 1. A step's target is the level
    T // S train steps below, as in the common implementations, also where that is not the next step's own level.
    """
    timesteps = _timesteps(spec, steps)
    return _levels(spec, told=timesteps, here=timesteps, there=timesteps - spec.num_train_timesteps // steps)


def pndm_levels(spec: SamplingSpec, *, steps: int) -> NoiseLevels:
    """The levels of `pndm.pndm_step` (Liu et al. 2022, without the Runge-Kutta start): S + 1 passes for S >= 2 steps.

    The second pass looks at what the first one made, one level lower, and then the first move is made again.
    """
    timesteps = _timesteps(spec, steps)
    stride = spec.num_train_timesteps // steps
    if steps == 1:
        return _levels(spec, told=timesteps, here=timesteps, there=timesteps - stride)
    told = np.concatenate([timesteps[:2], timesteps[1:]])
    here, there = told.copy(), told - stride
    here[1], there[1] = timesteps[1] + stride, timesteps[1]
    return _levels(spec, told=told, here=here, there=there)


def _levels(spec: SamplingSpec, *, told: Steps, here: Steps, there: Steps) -> NoiseLevels:
    """Moves from train timestep `here` to `there`; below 0 is the clean end."""
    cumulative = _cumulative(spec)
    final = np.float32(1) if spec.set_alpha_to_one else cumulative[0]
    before = cumulative[here].astype(np.float64)
    after = np.where(there >= 0, cumulative[np.maximum(there, 0)], final).astype(np.float64)
    return NoiseLevels(
        timesteps=told.astype(np.float64),
        alphas=np.sqrt(before),
        sigmas=np.sqrt(1 - before),
        next_alphas=np.sqrt(after),
        next_sigmas=np.sqrt(1 - after),
    )


def _cumulative(spec: SamplingSpec) -> NDArray[np.float32]:
    """[T] alpha^2 in float32, rounded where the systems' own code rounds it: they were trained on these numbers."""
    root = spec.beta_schedule == "scaled_linear"
    power = 0.5 if root else 1.0
    betas = _line(spec.beta_start**power, spec.beta_end**power, spec.num_train_timesteps)
    if root:
        betas = betas**2
    one = np.float32(1)
    if spec.rescale_zero_terminal_snr:
        level = np.sqrt(_product(one - betas))
        first, last = level[0], level[-1]
        squares = ((level - last) * (first / (first - last))) ** 2
        betas = one - np.concatenate([squares[:1], squares[1:] / squares[:-1]])
    return _product(one - betas)


def _line(start: float, end: float, count: int) -> NDArray[np.float32]:
    """`count` equal float32 steps, counted from the nearer end, with one rounding each."""
    first, last = np.float32(start), np.float32(end)
    step = np.float64((last - first) / np.float32(max(count - 1, 1)))
    k = np.arange(count)
    return np.where(k < count // 2, first + step * k, last - step * (count - 1 - k)).astype(np.float32)


def _product(factors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.cumprod(factors, dtype=np.float64).astype(np.float32)


def _timesteps(spec: SamplingSpec, steps: int) -> Steps:
    total = spec.num_train_timesteps
    if steps > total:
        raise InputError(f"the scheduler has {total} train timesteps, got {steps} steps")
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
