"""Batches for the animator: one reference shared by several targets of its group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.mannequin.dataset import ERRING, Latents, Pictures, as_reference, seen_keypoints, to_tensors
from export.mannequin.networks import Autoencoder
from export.mannequin.render import GROUP, SIZE

TARGETS = 2
"""Targets that share a reference: the reference net then costs half."""


LEAN = 0.2
"""How often a group that is turned as a whole is drawn: people in video mostly stand, but must be drawn well lying."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean targets and what they are conditioned on."""

    targets: Tensor
    """[B, z, h, w] latents."""
    mattes: Tensor
    """[B, 1, h, w] in [0, 1]: where the targets' people are."""
    keypoints: Tensor
    """[B, 17, 3]."""
    reference: tuple[Tensor, Tensor] | None
    """Latents [B / TARGETS, z, h, w] and mattes [B / TARGETS, 1, h, w]; None where the reference is dropped."""
    calibrated: tuple[Tensor, Tensor] | None = None
    """Latents and mattes of one calibrated reference for each target; None in training-free use of calibration."""
    pictures: tuple[Tensor, Tensor] | None = None
    """The targets themselves: images [B, 3, S, S] in [-1, 1] and mattes [B, 1, S, S]; only where they are learned."""

    def to(self, device: torch.device) -> Batch:
        """The same batch in a device's memory."""

        def put(pair: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
            return None if pair is None else (pair[0].to(device), pair[1].to(device))

        targets, mattes, keypoints = (a.to(device) for a in (self.targets, self.mattes, self.keypoints))
        return Batch(targets, mattes, keypoints, put(self.reference), put(self.calibrated), put(self.pictures))


Batches = Callable[[np.random.Generator, int], Batch]
"""From a random generator and a number of groups to a batch."""


def leaning(keypoints: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[G]: whether the people of a group, keypoints [G, 8, 17, 2], are turned over 35 degrees from upright on average.

    Those are the groups that the renderer turned as a whole; people who bend do so in a frame or two of eight.
    """
    spine = (keypoints[:, :, 5:7].mean(2) - keypoints[:, :, 11:13].mean(2)).sum(1)
    return np.abs(np.degrees(np.arctan2(spine[:, 0], -spine[:, 1]))) > 35.0


def _draw(
    rng: np.random.Generator, chances: NDArray[np.float64], groups: int, *, early: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups [groups], drawn by their chances, and frames [groups, 1 + TARGETS], the reference first.

    With probability `early` the reference is one of the frames that are encoded with mask errors as well.
    """
    rows = []
    for _ in range(groups):
        first = int(rng.integers(ERRING if rng.random() < early else GROUP))
        rows.append([first, *rng.permutation([k for k in range(GROUP) if k != first])[:TARGETS]])
    return rng.choice(len(chances), size=groups, p=chances), np.array(rows)


def _pick(data: Latents, groups: NDArray[np.int64], frames: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Latents [n, z, h, w] and mattes [n, 1, h, w] of the given frames of the given groups."""
    latents = np.stack([data.latents[g, k] for g, k in zip(groups, frames, strict=True)])
    mattes = np.stack([data.mattes[g, k] for g, k in zip(groups, frames, strict=True)])
    return torch.from_numpy(latents).float(), torch.from_numpy(mattes)[:, None].float() / 255.0


def _chances(keypoints: NDArray[np.float32], lean: float) -> NDArray[np.float64]:
    """[G] chances that sum to one; a leaning group is drawn `lean` times as often as an upright one."""
    chances = np.where(leaning(keypoints), lean, 1.0)
    return chances / chances.sum()


def plain_batches(
    data: Latents, *, drop: float = 0.03, lean: float = LEAN, pictures: Pictures | None = None
) -> Batches:
    """Batches with the reference alone, dropped for a whole batch with probability `drop`; with pictures if given."""
    chances = _chances(data.keypoints, lean)

    def batch(rng: np.random.Generator, groups: int) -> Batch:
        g, f = _draw(rng, chances, groups, early=0.6)
        flat, targets = np.repeat(g, TARGETS), f[:, 1:].reshape(-1)
        clean, mattes = _pick(data, flat, targets)
        erring = (f[:, 0] < ERRING) & (rng.random(groups) < 0.9)
        reference = _pick(data, g, f[:, 0] + np.where(erring, GROUP, 0)) if rng.random() >= drop else None
        keypoints = torch.from_numpy(seen_keypoints(rng, data.keypoints[flat, targets]))
        shown = None
        if pictures is not None:
            shown = to_tensors(np.stack([pictures.group(int(a))[0][b] for a, b in zip(flat, targets, strict=True)]))
        return Batch(clean, mattes, keypoints, reference, pictures=shown)

    return batch


def best_similarity(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """[2, 3] least-squares similarity from points x [P, 2] to y [P, 2] (paper, section 4.1), over all points."""
    a, b = x[:, 0] + 1j * x[:, 1], y[:, 0] + 1j * y[:, 1]
    ac, bc = a - a.mean(), b - b.mean()
    s = (ac.conj() * bc).sum() / max(float((np.abs(ac) ** 2).sum()), 1e-9)
    t = b.mean() - s * a.mean()
    return np.array([[s.real, -s.imag, t.real], [s.imag, s.real, t.imag]])


def warp(frame: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """[S, S, 4] picture and mask under a similarity in pixels, centres at .5; nothing beyond the border."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # cv2 counts from centres at .0
    return cv2.warpAffine(frame, moved, (frame.shape[1], frame.shape[0]), flags=cv2.INTER_LINEAR)


def calibrated_batches(pictures: Pictures, data: Latents, autoencoder: Autoencoder, *, share: float = 0.7) -> Batches:
    """Batches whose reference is turned and scaled half of the time and, for `share` of them, calibrated as well."""
    centre, chances = np.array([SIZE / 2, SIZE / 2]), _chances(data.keypoints, LEAN)

    def encode(frames: list[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
        images, mattes = to_tensors(np.stack(frames), device=autoencoder.mean.device)
        with torch.no_grad(), torch.autocast(images.device.type, dtype=torch.bfloat16):
            latents = autoencoder.encode(images.to(memory_format=torch.channels_last), mattes).float()
        return latents, torch.nn.functional.avg_pool2d(mattes, 4)

    def batch(rng: np.random.Generator, groups: int) -> Batch:
        g, f = _draw(rng, chances, groups)
        with_calibrated = rng.random() < share
        references, calibrated = [], []
        for a, (first, *others) in zip(g, f, strict=True):
            frames, background = pictures.group(int(a))
            frame, points = as_reference(rng, frames[first], background), data.keypoints[a, first] * SIZE
            if rng.random() < 0.5:
                angle, scale = rng.uniform(-np.pi, np.pi), float(np.exp(rng.normal() * 0.3))
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
                matrix = np.concatenate([turn, (centre - turn @ centre)[:, None]], 1)
                frame, points = warp(frame, matrix), (points @ turn.T + matrix[:, 2]).astype(np.float32)
            references.append(frame)
            if with_calibrated:
                subset = rng.permutation(17)[: rng.integers(4, 18)]  # the search takes any subset
                for b in others:
                    target = data.keypoints[a, b] * SIZE
                    calibrated.append(warp(frame, best_similarity(points[subset], target[subset])))
        flat, targets = np.repeat(g, TARGETS), f[:, 1:].reshape(-1)
        clean, mattes = _pick(data, flat, targets)
        keypoints = torch.from_numpy(seen_keypoints(rng, data.keypoints[flat, targets]))
        return Batch(clean, mattes, keypoints, encode(references), encode(calibrated) if calibrated else None)

    return batch
