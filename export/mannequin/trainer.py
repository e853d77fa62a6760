"""The animator's training: loss, optimisers, moving average, checkpoints, and its error on people held out."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.mannequin import processes
from export.mannequin.animator import Animator, Bank
from export.mannequin.batches import TARGETS, Batch, Batches
from export.mannequin.muon import Muon, split_parameters
from export.mannequin.networks import Widths
from export.mannequin.refine import Joined, join, sampled, underway

REFINE = 0.4
"""Share of the samples that begin from the model's own picture, at a later pass of a run of two to four steps.

All others begin from pure noise, as the default's only step does."""

MUON_RATE = 2.5
"""Muon's learning rate as a multiple of AdamW's."""


def animator_loss(model: Animator, batch: Batch, noise: Tensor, joined: Joined) -> Tensor:
    """x0 prediction from runs that have come so far, half squared and half absolute, weighted towards the person."""
    order = torch.arange(len(noise), device=noise.device)
    banks: list[Bank] = []
    if batch.reference is not None:
        banks.append((model.banks(*batch.reference), order // TARGETS))
    if batch.calibrated is not None:
        banks.append((model.banks(*batch.calibrated), order))
    pose = model.pose(batch.keypoints, batch.targets.shape[-1])
    latents, timesteps = underway(model, noise, pose, banks, joined)
    return latent_loss(model(latents, timesteps, pose, banks), batch.targets, batch.mattes)


def latent_loss(found: Tensor, truth: Tensor, mattes: Tensor) -> Tensor:
    """Of latents [N, z, h, w], half squared and half absolute, weighted towards the person of mattes [N, 1, h, w]."""
    difference = found.float() - truth
    weight = 0.15 + torch.nn.functional.max_pool2d(mattes, 3, 1, 1)
    return ((0.5 * difference**2 + 0.5 * difference.abs()) * (weight / weight.mean())).mean()


class Trainer:
    """An animator, its moving average, its optimiser and how far it has come."""

    def __init__(
        self,
        widths: Widths,
        *,
        rate: float,
        seed: int,
        average: float = 0.9985,
        refine: float = REFINE,
        device: torch.device | str = "cpu",
    ) -> None:
        torch.manual_seed(seed)
        self.device, self.refine = torch.device(device), refine
        self.model = Animator(widths).to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        inner, other = split_parameters(self.model)
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(inner, MUON_RATE * rate),
            "adamw": torch.optim.AdamW(other, rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        }
        self.rate, self.decay, self.step, self.seconds = rate, average, 0, 0.0
        self.rng = np.random.default_rng([seed, 11])

    def train_step(self, batches: Batches, groups: int, part: float) -> float:
        """One optimiser step at `part` in [0, 1] of the cosine schedule; returns the loss."""
        rate = self.rate * min(1.0, (self.step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * part)))
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * (MUON_RATE if name == "muon" else 1.0)
        batch = batches(self.rng, groups).to(self.device)
        joined = join(self.rng, len(batch.targets), refine=self.refine)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss = animator_loss(self.model, batch, torch.randn_like(batch.targets), joined)
        self.model.zero_grad()
        loss.backward()
        processes.average_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        return float(loss.detach())

    def draw_apart(self, rank: int) -> None:
        """Give each process of a run draws of its own; the first keeps those that it would have alone."""
        if rank > 0:
            self.rng = np.random.default_rng([self.step, 12, rank])
            torch.manual_seed(1000 * self.step + rank)

    def save(self, path: Path) -> None:
        """Write everything that `resume` needs, in one replace."""
        state = {
            "average": self.average.state_dict(),
            "model": self.model.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "step": self.step,
            "seconds": self.seconds,
            "widths": asdict(self.model.widths),
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path, *, weights_only: bool = False) -> None:
        """Go on from a checkpoint; weights_only: start a new schedule from its moving average."""
        state = torch.load(path, map_location=self.device)
        self.average.load_state_dict(state["average"])
        self.model.load_state_dict(state["average" if weights_only else "model"])
        if not weights_only:
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            self.step, self.seconds = state["step"], state["seconds"]
            self.rng = np.random.default_rng([self.step, 12])


def load_animator(path: Path) -> Animator:
    """The moving average of a checkpoint, in evaluation mode."""
    state = torch.load(path, map_location="cpu")
    model = Animator(Widths(**{k: tuple(v) if isinstance(v, list) else v for k, v in state["widths"].items()}))
    model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def validate(model: Animator, batch: Batch, *, steps: int = 1) -> float:
    """Mean squared error of the latents on the person after a run of that many steps, held-out people."""
    noise = torch.randn(batch.targets.shape, generator=torch.Generator().manual_seed(1)).to(batch.targets.device)
    with torch.no_grad(), torch.autocast(noise.device.type, dtype=torch.bfloat16):
        banks: list[Bank] = []
        if batch.reference is not None:
            banks.append((model.banks(*batch.reference), torch.arange(len(noise), device=noise.device)))
        pose = model.pose(batch.keypoints, batch.targets.shape[-1])
        out = sampled(model, noise, pose, banks, steps=steps)
    weight = (batch.mattes > 0.1).float()
    return float(((out - batch.targets) ** 2).mean(1, keepdim=True).mul(weight).sum() / weight.sum())


def held_out_errors(model: Animator, batch: Batch) -> str:
    """`validate` in words, for one, two and four steps."""
    return " ".join(f"{validate(model, batch, steps=steps):.4f}" for steps in (1, 2, 4)) + " (1, 2, 4 steps)"
