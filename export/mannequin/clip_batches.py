"""Batches from rendered clips (`clips`), whose pictures are twice as large as the animator's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.mannequin.batches import TARGETS, Batch, Batches
from export.mannequin.dataset import as_reference, seen_keypoints, to_tensors
from export.mannequin.enlarge import halved
from export.mannequin.networks import Autoencoder


class Clips:
    """The clips of all render workers, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        found = sorted(folder.glob("clip_frames_*.npy"))
        if not found:
            raise FileNotFoundError(
                f"{folder} holds no clip_frames_*.npy; run `python -m export mannequin clips` first"
            )
        kinds = ("frames", "backgrounds", "keypoints")
        self._parts = [
            {kind: np.load(file.with_name(file.name.replace("frames", kind)), mmap_mode="r") for kind in kinds}
            for file in found
        ]
        self._where = [(part, g) for part in self._parts for g in range(len(part["frames"]))]

    def __len__(self) -> int:
        return len(self._where)

    def clip(self, g: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        """Frames [9, S, S, 4] RGB straight + alpha, the reference first; background [S, S, 3]; keypoints [9, 17, 2]."""
        part, row = self._where[g]
        return part["frames"][row], part["backgrounds"][row], part["keypoints"][row]


def small(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, S / 2, S / 2, 4] of frames [N, S, S, 4]; colours count by their alpha."""
    images, mattes = halved(*to_tensors(np.array(frames)))  # a copy: maps are read-only, tensors are not
    values = torch.cat([images.clamp(-1, 1) * 127.5 + 127.5, mattes * 255.0], 1)
    return values.round().byte().permute(0, 2, 3, 1).numpy()


def encoded(autoencoder: Autoencoder, frames: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Latents [N, z, h, w] and mattes [N, 1, h, w] of frames of the autoencoder's own size [N, S, S, 4]."""
    images, mattes = to_tensors(frames)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        latents = autoencoder.encode(images.to(memory_format=torch.channels_last), mattes).float()
    return latents, functional.avg_pool2d(mattes, mattes.shape[-1] // latents.shape[-1])


def clip_batches(clips: Clips, autoencoder: Autoencoder) -> Batches:
    """Batches with the clips' own pictures; the reference is one of the nine frames, the targets are others."""

    def batch(rng: np.random.Generator, groups: int) -> Batch:
        references, targets, points = [], [], []
        for g in rng.integers(len(clips), size=groups):
            frames, background, keypoints = clips.clip(int(g))
            first, *others = rng.permutation(len(frames))[: 1 + TARGETS]
            ground = background[::2, ::2]
            references.append(as_reference(rng, small(frames[first][None])[0], ground))
            targets.append(frames[np.array(others)])
            points.append(keypoints[np.array(others)])
        pictures = np.concatenate(targets)
        seen = torch.from_numpy(seen_keypoints(rng, np.concatenate(points)))
        latents, mattes = encoded(autoencoder, small(pictures))
        return Batch(
            latents, mattes, seen, encoded(autoencoder, np.stack(references)), pictures=to_tensors(pictures)
        )  # fmt: skip

    return batch


def held_out_clips(folder: Path, autoencoder: Autoencoder, count: int = 24) -> Batch:
    """The reference and the middle frame of each test clip."""
    test = np.load(folder / "test_clips.npz")
    frames, points = test["frames"][:count], test["keypoints"][:count]
    middle = frames.shape[1] // 2
    target, seen = frames[:, middle], ((points[:, middle] > 0) & (points[:, middle] < 1)).all(-1, keepdims=True)
    keypoints = torch.from_numpy(np.concatenate([points[:, middle], seen], -1).astype(np.float32))
    latents, mattes = encoded(autoencoder, small(target))
    return Batch(
        latents, mattes, keypoints, encoded(autoencoder, small(frames[:, 0])), pictures=to_tensors(target)
    )  # fmt: skip
