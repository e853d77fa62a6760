"""The step of the last training: what the decoder draws of the animator's latents, against the pictures."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.mannequin import processes
from export.mannequin.animator import Animator, Bank
from export.mannequin.batches import Batch, Batches
from export.mannequin.enlarge import EnlargingAutoencoder
from export.mannequin.muon import Muon, split_parameters
from export.mannequin.networks import Autoencoder
from export.mannequin.picture_loss import picture_loss
from export.mannequin.refine import join, underway
from export.mannequin.trainer import MUON_RATE, latent_loss

REFINE = 0.2
"""Share of the samples that begin from the model's own picture, see `trainer.REFINE`."""
TRUE_LATENTS = 4
"""One latent of so many that are decoded is the picture's own: the decoder must not unlearn those."""
KEEP = 0.25
"""Weight of the latents' own error beside that of the pictures: later passes start from latents."""


class Polisher:
    """An animator and a decoder that learn from pictures; the animator may be kept as it is, the encoder always is."""

    def __init__(
        self,
        animator: Animator,
        autoencoder: Autoencoder | EnlargingAutoencoder,
        *,
        learn_animator: bool,
        rate: float,
        seed: int,
        average: float = 0.995,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.animator = animator.train(learn_animator).requires_grad_(learn_animator).to(self.device)
        self.autoencoder = autoencoder.train().requires_grad_(True).to(self.device, memory_format=torch.channels_last)
        base = autoencoder.base if isinstance(autoencoder, EnlargingAutoencoder) else autoencoder
        base.encoder.requires_grad_(False)
        self.learns, self.rate, self.decay, self.step = learn_animator, rate, average, 0
        self.models = nn.ModuleList([self.animator, self.autoencoder])
        self.average = copy.deepcopy(self.models).requires_grad_(False).eval()
        decoder = [p for p in self.autoencoder.parameters() if p.requires_grad]
        inner, other = split_parameters(self.animator) if learn_animator else ([], [])
        self.optimisers: list[tuple[float, torch.optim.Optimizer]] = [
            (1.0, torch.optim.AdamW([*other, *decoder], rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True))
        ]
        if inner:
            self.optimisers.append((MUON_RATE, Muon(inner, MUON_RATE * rate)))
        self.rng = np.random.default_rng([seed, 21])

    def loss(self, batch: Batch) -> Tensor:
        """Of one batch, with its pictures."""
        assert batch.pictures is not None
        out, truth = self._latents(batch), batch.targets
        images, mattes = batch.pictures
        own = slice(0, len(out) // TRUE_LATENTS)
        latents, images, mattes = (
            torch.cat([a, b[own]]) for a, b in ((out, truth), (images, images), (mattes, mattes))
        )
        decoded, found = self.autoencoder.decode(latents.to(memory_format=torch.channels_last))
        loss = picture_loss(decoded, found, images, mattes)
        return loss + KEEP * latent_loss(out, truth, batch.mattes) if self.learns else loss

    def _latents(self, batch: Batch) -> Tensor:
        """What the animator makes of a batch, some of it at a later pass of a run of several steps."""
        noise = torch.randn_like(batch.targets)
        with torch.set_grad_enabled(self.learns):
            banks: list[Bank] = []
            if batch.reference is not None:
                each = len(noise) // len(batch.reference[0])
                banks.append(
                    (self.animator.banks(*batch.reference), torch.arange(len(noise), device=self.device) // each)
                )
            pose = self.animator.pose(batch.keypoints, noise.shape[-1])
            latents, timesteps = underway(
                self.animator, noise, pose, banks, join(self.rng, len(noise), refine=REFINE if self.learns else 0.0)
            )
            return self.animator(latents, timesteps, pose, banks)

    def train_step(self, batches: Batches, groups: int, part: float) -> float:
        """One step at `part` in [0, 1] of the cosine schedule; returns the loss."""
        rate = self.rate * min(1.0, (self.step + 1) / 30) * (0.02 + 0.49 * (1 + math.cos(math.pi * part)))
        for times, optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * times
        batch = batches(self.rng, groups).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss = self.loss(batch)
        self.models.zero_grad()
        loss.backward()
        processes.average_gradients(self.models.parameters())
        torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        for _, optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.models.parameters()), 1 - decay)
        return float(loss.detach())

    def drawn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images and mattes that the moving averages draw in one step, from noise that is the same each time."""
        animator, autoencoder = self.average
        assert isinstance(animator, Animator) and batch.reference is not None
        noise = torch.randn(batch.targets.shape, generator=torch.Generator().manual_seed(1)).to(self.device)
        with torch.no_grad(), torch.autocast(self.device.type, dtype=torch.bfloat16):
            which = torch.arange(len(noise), device=self.device) // (len(noise) // len(batch.reference[0]))
            banks: list[Bank] = [(animator.banks(*batch.reference), which)]
            pose = animator.pose(batch.keypoints, noise.shape[-1])
            images, mattes = autoencoder.decode(animator(noise, torch.ones_like(which).float(), pose, banks))
        return images.float(), mattes.float()

    def save(self, path: Path) -> None:
        """The moving averages, as `trainer.load_animator` and `autoencoder.load_autoencoder` read them."""
        animator, autoencoder = self.average
        assert isinstance(animator, Animator)
        state = {"average": animator.state_dict(), "widths": asdict(animator.widths), "step": self.step}
        if self.learns:
            state["autoencoder"] = autoencoder.state_dict()
        else:
            state = {"weights": autoencoder.state_dict(), "step": self.step}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
