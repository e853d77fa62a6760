"""Train the mannequin: `python -m export mannequin train`. Autoencoder, then latents, then the animator.

Every part leaves a file and is skipped if its file is there; the animator resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.mannequin.animator import Animator, Bank
from export.mannequin.autoencoder import load_autoencoder, train_autoencoder
from export.mannequin.batches import TARGETS, Batch, Batches, calibrated_batches, plain_batches
from export.mannequin.dataset import Latents, Pictures, write_latents
from export.mannequin.muon import Muon, split_parameters
from export.mannequin.networks import Widths

AT_NOISE = 0.75
"""Share of the samples at t = 1: the default is one step, from pure noise, where all must come from the reference."""

MUON_RATE = 2.5
"""Muon's learning rate as a multiple of AdamW's."""


def animator_loss(model: Animator, batch: Batch, timesteps: Tensor, noise: Tensor) -> Tensor:
    """x0 prediction from z = (1 - t) x + t n, half squared and half absolute, weighted towards the person."""
    t = timesteps.view(-1, 1, 1, 1)
    order = torch.arange(len(timesteps))
    banks: list[Bank] = []
    if batch.reference is not None:
        banks.append((model.banks(*batch.reference), order // TARGETS))
    if batch.calibrated is not None:
        banks.append((model.banks(*batch.calibrated), order))
    pose = model.pose(batch.keypoints, batch.targets.shape[-1])
    out = model((1 - t) * batch.targets + t * noise, timesteps, pose, banks)
    difference = out.float() - batch.targets
    near = torch.nn.functional.max_pool2d(batch.mattes, 3, 1, 1)
    weight = 0.15 + near
    return ((0.5 * difference**2 + 0.5 * difference.abs()) * (weight / weight.mean())).mean()


class Trainer:
    """An animator, its moving average, its optimiser and how far it has come."""

    def __init__(self, widths: Widths, *, rate: float, seed: int, average: float = 0.9985) -> None:
        torch.manual_seed(seed)
        self.model = Animator(widths).to(memory_format=torch.channels_last)
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
        batch = batches(self.rng, groups)
        count = len(batch.targets)
        timesteps = torch.from_numpy(np.where(self.rng.random(count) < AT_NOISE, 1.0, self.rng.random(count))).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = animator_loss(self.model, batch, timesteps, torch.randn_like(batch.targets))
        self.model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        return float(loss.detach())

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
        state = torch.load(path)
        self.average.load_state_dict(state["average"])
        self.model.load_state_dict(state["average" if weights_only else "model"])
        if not weights_only:
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            self.step, self.seconds = state["step"], state["seconds"]
            self.rng = np.random.default_rng([self.step, 12])


def load_animator(path: Path) -> Animator:
    """The moving average of a checkpoint, in evaluation mode."""
    state = torch.load(path)
    model = Animator(Widths(**{k: tuple(v) if isinstance(v, list) else v for k, v in state["widths"].items()}))
    model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def validate(model: Animator, batch: Batch) -> float:
    """Mean squared error of the latents on the person, one step from pure noise, held-out people."""
    noise = torch.randn(batch.targets.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        banks: list[Bank] = []
        if batch.reference is not None:
            banks.append((model.banks(*batch.reference), torch.arange(len(noise))))
        pose = model.pose(batch.keypoints, batch.targets.shape[-1])
        out = model(noise, torch.ones(len(noise)), pose, banks).float()
    weight = (batch.mattes > 0.1).float()
    return float(((out - batch.targets) ** 2).mean(1, keepdim=True).mul(weight).sum() / weight.sum())


def run(trainer: Trainer, batches: Batches, held_out: Batch, checkpoint: Path, *, minutes: float, groups: int) -> None:
    """Train until `minutes` of training time have passed, with a checkpoint every three."""
    before, start, losses, saved = trainer.seconds, time.monotonic(), [], time.monotonic()
    first = trainer.step
    while True:
        trainer.seconds = before + time.monotonic() - start
        part = trainer.seconds / (60 * minutes)
        if part >= 1:
            break
        losses.append(trainer.train_step(batches, groups, part))
        if trainer.step % 200 == 0 or trainer.step == 20:
            rate = (trainer.step - first) * groups * TARGETS / (time.monotonic() - start)
            print(
                f"animator {trainer.step} {trainer.seconds:.0f}s loss {np.mean(losses):.4f} held-out "
                f"{validate(trainer.average, held_out):.4f} {rate:.0f} samples/s",
                flush=True,
            )
            losses = []
        if time.monotonic() - saved > 170:
            trainer.save(checkpoint)
            saved = time.monotonic()
    trainer.save(checkpoint)
    print(f"animator done: {trainer.step} steps, held-out {validate(trainer.average, held_out):.4f}", flush=True)


def held_out_batch(folder: Path, widths: Widths, count: int = 48) -> Batch:
    """Aligned test pairs."""
    from export.mannequin.dataset import to_tensors

    test, autoencoder = np.load(folder / "test.npz"), load_autoencoder(folder, widths)

    def encode(frames: np.ndarray) -> tuple[Tensor, Tensor]:
        images, mattes = to_tensors(frames)
        with torch.no_grad():
            return autoencoder.encode(images, mattes).float(), torch.nn.functional.avg_pool2d(mattes, 4)

    points = test["target_keypoints"][:count]
    seen = ((points > 0) & (points < 1)).all(-1, keepdims=True)
    keypoints = torch.from_numpy(np.concatenate([points, seen], -1).astype(np.float32))
    targets, mattes = encode(test["target"][:count])
    return Batch(targets, mattes, keypoints, encode(test["references"][:count, 0]))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin train", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder of the rendered data")
    parser.add_argument("--autoencoder-minutes", type=float, default=12.0)
    parser.add_argument("--minutes", type=float, default=80.0, help="of training the animator, all runs together")
    parser.add_argument("--groups", type=int, default=6, help="references a step; each has two targets")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--start", type=Path, help="begin with the weights of this checkpoint, with a new schedule")
    parser.add_argument("--checkpoint", default="animator.pt", help="file in --data that the animator is saved to")
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoint instead of starting anew")
    parser.add_argument(
        "--calibrated", action="store_true",
        help="a second run with calibrated references present: from animator.pt to animator_calibrated.pt",
    )  # fmt: skip
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    folder, widths = options.data, Widths()
    pictures = Pictures(folder)
    if not (folder / "autoencoder.pt").exists():
        train_autoencoder(folder, widths=widths, minutes=options.autoencoder_minutes, seed=options.seed)
    autoencoder = load_autoencoder(folder, widths)
    if not (folder / "latents.npy").exists():
        write_latents(pictures, autoencoder, folder, seed=options.seed)
    data, held_out = Latents(folder, pictures), held_out_batch(folder, widths)
    trainer = Trainer(widths, rate=options.rate, seed=options.seed)
    if options.calibrated:
        trainer.resume(folder / "animator.pt", weights_only=True)
        run(
            trainer, calibrated_batches(pictures, data, autoencoder), held_out, folder / "animator_calibrated.pt",
            minutes=options.minutes, groups=options.groups,
        )  # fmt: skip
        return 0
    if options.resume:
        trainer.resume(folder / options.checkpoint)
    elif options.start is not None:
        trainer.resume(options.start, weights_only=True)
    run(
        trainer,
        plain_batches(data),
        held_out,
        folder / options.checkpoint,
        minutes=options.minutes,
        groups=options.groups,
    )
    return 0
