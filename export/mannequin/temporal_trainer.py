"""The training of the temporal layers alone: windows of clips, loss, optimisers, and errors on people held out."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.mannequin.animator import Animator, Bank
from export.mannequin.clip_latents import WindowBatches, Windows
from export.mannequin.muon import Muon, split_parameters
from export.mannequin.temporal import is_temporal, put_under, temporal_widths
from export.mannequin.trainer import MUON_RATE, latent_loss

LENGTHS = (8, 8, 8, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1)
"""Frames of a window, all equally likely."""
LATER = 0.15
"""Share of the steps in which some frames have gone a part of their way, as in runs of several steps."""
CHANGE_LOSS = 1.0
"""Weight of the error of the differences between neighbouring frames, beside that of the frames."""


def window_loss(found: Tensor, truth: Tensor, mattes: Tensor, *, windows: int) -> Tensor:
    """The frames' loss (`latent_loss`), and the same of what changes from each frame of a window to its next."""
    loss = latent_loss(found, truth, mattes)
    if len(found) == windows:
        return loss
    pairs = [a.unflatten(0, (windows, -1)) for a in (found.float(), truth, mattes)]
    changes = [(a[:, 1:] - a[:, :-1]).flatten(0, 1) for a in pairs[:2]]
    either = torch.maximum(pairs[2][:, 1:], pairs[2][:, :-1]).flatten(0, 1)
    return loss + CHANGE_LOSS * latent_loss(changes[0], changes[1], either)


def conditions(model: Animator, batch: Windows) -> tuple[Tensor, list[Bank]]:
    """Pose features and the references' banks of windows; nothing there learns."""
    with torch.no_grad():
        each = len(batch.targets) // len(batch)
        index = torch.arange(len(batch)).repeat_interleave(each)
        return model.pose(batch.keypoints, batch.targets.shape[-1]), [(model.banks(*batch.reference), index)]


def start_noise(batch: Windows) -> Tensor:
    """[windows * F, z, h, w]: all frames of a window begin from the same noise, as they do in a run."""
    each = len(batch.targets) // len(batch)
    return torch.randn(len(batch), *batch.targets.shape[1:]).repeat_interleave(each, 0)


def gone_so_far(
    model: Animator, noise: Tensor, pose: Tensor, banks: list[Bank], done: Tensor, *, steps: int, windows: int
) -> tuple[Tensor, Tensor]:
    """Latents and timesteps [windows * F] of frames that have made `done` of `steps` steps of a run."""
    latents = noise
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        for turn in range(int(done.max())):
            here = 1 - torch.minimum(done, torch.tensor(turn)) / steps
            clean = model(latents, here, pose, banks, windows=windows).float()
            t = here.view(-1, 1, 1, 1)
            following = t - 1 / steps
            moved = (1 - following) * clean + following * (latents - (1 - t) * clean) / t
            latents = torch.where((done > turn).view(-1, 1, 1, 1), moved, latents)
    return latents, 1 - done / steps


def _wanting_gradient(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Of what the first temporal layer takes: where that wants none, torch 2.13's GroupNorm crashes on its way back."""
    return output.requires_grad_()


class TemporalTrainer:
    """An animator of which only the temporal layers learn, their moving average, and how far they have come."""

    def __init__(self, start: Animator, *, rate: float, seed: int, average: float = 0.99) -> None:
        torch.manual_seed(seed)
        self.model = Animator(temporal_widths(start.widths)).to(memory_format=torch.channels_last)
        put_under(self.model, start.state_dict())
        for name, p in self.model.named_parameters():
            p.requires_grad_(is_temporal(name))
        layers = self.model.denoiser.temporal
        assert layers is not None
        self.layers = layers
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.model.denoiser.top.register_forward_hook(_wanting_gradient)
        inner, other = split_parameters(layers)
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(inner, MUON_RATE * rate),
            "adamw": torch.optim.AdamW(other, rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        }
        self.rate, self.decay, self.step, self.seconds = rate, average, 0, 0.0
        self.rng = np.random.default_rng([seed, 31])

    def train_step(self, batches: WindowBatches, windows: int, part: float) -> float:
        """One step at `part` in [0, 1] of the cosine schedule; short windows come in up to twice the number."""
        rate = self.rate * min(1.0, (self.step + 1) / 30) * (0.02 + 0.49 * (1 + math.cos(math.pi * part)))
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * (MUON_RATE if name == "muon" else 1.0)
        length = int(self.rng.choice(LENGTHS))
        batch = batches(self.rng, min(2, max(LENGTHS) // length) * windows, length)
        noise, done, steps = start_noise(batch), torch.zeros(len(batch.targets)), 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            pose, banks = conditions(self.model, batch)
        if self.rng.random() < LATER:
            steps = int(self.rng.integers(2, 5))
            done = torch.from_numpy(self.rng.integers(0, steps, len(noise))).float()
            if self.rng.random() < 0.5:  # a window's frames go together; else each on its own, as on the diagonal
                done = done.view(len(batch), -1)[:, :1].expand(-1, len(done) // len(batch)).reshape(-1)
        latents, timesteps = gone_so_far(self.model, noise, pose, banks, done, steps=steps, windows=len(batch))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = self.model(latents, timesteps, pose, banks, windows=len(batch))
        loss = window_loss(out, batch.targets, batch.mattes, windows=len(batch))
        self.layers.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.layers.parameters(), 1.0)
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for held, learned in zip(self.average.parameters(), self.model.parameters(), strict=True):
            if learned.requires_grad:
                held.lerp_(learned.detach(), 1 - decay)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write what `load_animator` and `resume` need, in one replace."""
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

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint that `save` wrote."""
        state = torch.load(path, map_location="cpu")
        self.average.load_state_dict(state["average"])
        self.model.load_state_dict(state["model"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.step, self.seconds = state["step"], state["seconds"]
        self.rng = np.random.default_rng([self.step, 32])


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean squared errors of latents on the person, after one step."""

    person: float
    change: float
    """Of the difference from each frame to its next."""

    def __str__(self) -> str:
        return f"{self.person:.4f} / {self.change:.4f}"


def held_out_errors(model: Animator, batch: Windows) -> Errors:
    """Of windows of people held out; a model without temporal layers draws each frame alone."""
    torch.manual_seed(1)
    windows = len(batch)
    noise = start_noise(batch)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        pose, banks = conditions(model, batch)
        out = model(noise, torch.ones(len(noise)), pose, banks, windows=windows).float()
    on = (batch.mattes > 0.1).float()
    wrong = (out - batch.targets).unflatten(0, (windows, -1))
    person = wrong.flatten(0, 1).square().mean(1, keepdim=True).mul(on).sum() / on.sum()
    here = on.unflatten(0, (windows, -1))
    either = torch.maximum(here[:, 1:], here[:, :-1])
    change = (wrong[:, 1:] - wrong[:, :-1]).square().mean(2, keepdim=True).mul(either).sum() / either.sum()
    return Errors(float(person), float(change))
