"""The sampler's own way through the noise levels, in torch: training meets there what a run of several steps meets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.mannequin.animator import Animator, Bank

STEPS = (2, 3, 4, 4)
"""Lengths of the runs that training joins on their way: equally likely, so four steps twice as often."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The runs that the samples of a batch belong to, and how far those have come."""

    steps: NDArray[np.int64]
    """[B] passes of the whole run."""
    done: NDArray[np.int64]
    """[B] passes made before the one that is trained; 0: it starts from pure noise."""


def join(rng: np.random.Generator, count: int, *, refine: float) -> Joined:
    """With probability `refine` a later pass of a run of several steps, all of them equally likely; else a first."""
    steps = rng.choice(STEPS, count)
    later = rng.integers(1, steps)
    return Joined(steps, np.where(rng.random(count) < refine, later, 0))


def moved(model: Animator, latents: Tensor, here: Tensor, there: Tensor, pose: Tensor, banks: list[Bank]) -> Tensor:
    """Latents [F, z, h, w] moved from noise levels `here` to `there` [F], as `tpc_stream.sampler` moves them."""
    clean = model(latents, here, pose, banks).float()
    t, following = here.view(-1, 1, 1, 1), there.view(-1, 1, 1, 1)
    return (1 - following) * clean + following * (latents - (1 - t) * clean) / t


def underway(model: Animator, noise: Tensor, pose: Tensor, banks: list[Bank], joined: Joined) -> tuple[Tensor, Tensor]:
    """What each run has made of its noise [B, z, h, w] by now, and its timesteps [B]; no gradient flows back.

    What is not yet right in the latents is the model's own doing, never a mixture with the truth: that is all that a
    later pass meets in a run, and a model that was shown the truth there trusts what it should improve.
    """
    steps = torch.from_numpy(joined.steps).to(noise.device)
    done = torch.from_numpy(joined.done).to(noise.device)
    latents = noise.clone()
    kind = noise.device.type
    # no cache: weights cast for a pass without gradient must not serve the pass with one
    with (
        torch.no_grad(),
        torch.autocast(kind, enabled=torch.is_autocast_enabled(kind), dtype=torch.bfloat16, cache_enabled=False),
    ):
        for turn in range(int(joined.done.max(initial=0))):
            rows = (done > turn).nonzero()[:, 0]
            here, there = 1 - turn / steps[rows], 1 - (turn + 1) / steps[rows]
            theirs = [(tokens, rows.new_zeros(len(rows)) if index is None else index[rows]) for tokens, index in banks]
            latents[rows] = moved(model, latents[rows], here, there, pose[rows], theirs)
    return latents, 1 - done / steps


def sampled(model: Animator, noise: Tensor, pose: Tensor, banks: list[Bank], *, steps: int) -> Tensor:
    """Clean latents [B, z, h, w] by a whole run of that many steps."""
    count = len(noise)
    whole = Joined(np.full(count, steps), np.full(count, steps))
    return underway(model, noise, pose, banks, whole)[0]
