"""Latents of rendered clips on disk, and windows of them with what an estimator of keypoints would see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.mannequin.clip_batches import Clips, encoded, small
from export.mannequin.dataset import as_reference, seen_keypoints
from export.mannequin.networks import Autoencoder

LIMB_POINTS = ((7, 9), (8, 10), (9,), (10,), (13, 15), (14, 16), (15,), (16,), (0, 1, 2, 3, 4))
"""COCO keypoints that an estimator loses together: from elbow or knee on, the last alone, the face."""

JITTER = (0.002, 0.015)
"""Standard deviation of keypoints, as a share of the picture: least and most of the windows that have any."""
STILL = 0.2
"""Share of the windows without jitter: the layers must leave alone what does not shake."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of equally many frames F, one after the other."""

    targets: Tensor
    """[windows * F, z, h, w] latents."""
    mattes: Tensor
    """[windows * F, 1, h, w] in [0, 1]."""
    keypoints: Tensor
    """[windows * F, 17, 3]."""
    reference: tuple[Tensor, Tensor]
    """Latents [windows, z, h, w] and mattes [windows, 1, h, w]."""

    def __len__(self) -> int:
        return len(self.reference[0])


WindowBatches = Callable[[np.random.Generator, int, int], Windows]
"""From a random generator, a number of windows and their length to a batch."""


def write_clip_latents(clips: Clips, autoencoder: Autoencoder, folder: Path, *, seed: int) -> None:
    """Write clip_latents.npy [G, 9, z, h, w] float16 and clip_mattes.npy [G, 9, h, w] uint8.

    The clips' frames at half their size; the reference, which comes first, with the errors of a mask.
    """
    rng, arrays = np.random.default_rng([seed, 6]), {}
    for g in range(len(clips)):
        frames, background, _ = clips.clip(g)
        halves = small(frames)
        halves[0] = as_reference(rng, halves[0], background[::2, ::2])
        latents, mattes = encoded(autoencoder, halves)
        for name, values in (
            ("mattes", (mattes[:, 0] * 255.0).round().byte().numpy()),
            ("latents", latents.half().numpy()),
        ):
            if name not in arrays:
                path = folder / f"clip_{name}.tmp"
                arrays[name] = np.lib.format.open_memmap(path, "w+", values.dtype, (len(clips), *values.shape))
            arrays[name][g] = values
        if g % 200 == 199:
            print(f"latents: {g + 1} of {len(clips)} clips", flush=True)
    for name, array in arrays.items():
        array.flush()
        (folder / f"clip_{name}.tmp").rename(folder / f"clip_{name}.npy")


def unsteady_keypoints(rng: np.random.Generator, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """[F, 17, 3] the keypoints [F, 17, 2] of a window as an estimator gives them, no frame knowing of the others.

    Doubted and guessed points are those of `seen_keypoints`; the jitter is as strong in all frames of the window. In
    half of the windows, one frame in eight loses a limb's end, and one in eight sees it somewhere else.
    """
    seen = seen_keypoints(rng, keypoints)
    strength = 0.0 if rng.random() < STILL else np.exp(rng.uniform(*np.log(JITTER)))
    seen[..., :2] = keypoints + strength * rng.normal(size=keypoints.shape)
    if rng.random() < 0.5:
        return seen
    for frame in seen:
        fault = rng.random()
        if fault < 0.25:
            points = list(LIMB_POINTS[rng.integers(len(LIMB_POINTS))])
            if fault < 0.125:
                frame[points, 2] = 0.0
            else:
                frame[points, :2] += rng.normal(size=2) * 0.04
                frame[points, 2] *= rng.uniform(0.3, 1.0)
    return seen


def clip_windows(folder: Path, clips: Clips) -> WindowBatches:
    """Windows of what `write_clip_latents` wrote, their keypoints seen anew each time."""
    latents, mattes = (np.load(folder / f"clip_{name}.npy", mmap_mode="r") for name in ("latents", "mattes"))
    if len(latents) != len(clips):
        raise ValueError(
            f"{folder}: clip_latents.npy holds {len(latents)} clips, clip_frames_*.npy {len(clips)}; delete "
            "clip_latents.npy, it will be made again"
        )
    keypoints = np.stack([clips.clip(g)[2] for g in range(len(clips))])

    def batch(rng: np.random.Generator, count: int, length: int) -> Windows:
        chosen, rows = rng.integers(len(latents), size=count), []
        for _ in range(count):
            start = int(rng.integers(1, latents.shape[1] - length + 1))
            order = np.arange(start, start + length)
            rows.append(order if rng.random() < 0.5 else order[::-1])  # who walks may walk backwards
        pairs = [(g, k) for g, row in zip(chosen, rows, strict=True) for k in row]
        points = [unsteady_keypoints(rng, keypoints[g][row]) for g, row in zip(chosen, rows, strict=True)]

        def pick(array: NDArray[np.generic], at: list[tuple[int, int]]) -> Tensor:
            return torch.from_numpy(np.stack([array[g, k] for g, k in at])).float()

        first = [(int(g), 0) for g in chosen]
        return Windows(
            pick(latents, pairs), pick(mattes, pairs)[:, None] / 255.0, torch.from_numpy(np.concatenate(points)),
            (pick(latents, first), pick(mattes, first)[:, None] / 255.0),
        )  # fmt: skip

    return batch


def held_out_windows(
    folder: Path, autoencoder: Autoencoder, keypoints: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Windows:
    """The test clips as windows; keypoints: from the true ones [F, 17, 2] of a window to those that are seen."""
    test = np.load(folder / "test_clips.npz")
    frames, points = test["frames"], test["keypoints"][:, 1:]
    targets, mattes = encoded(autoencoder, small(frames[:, 1:].reshape(-1, *frames.shape[2:])))
    seen = torch.from_numpy(np.concatenate([keypoints(window) for window in points]))
    return Windows(targets, mattes, seen, encoded(autoencoder, small(frames[:, 0])))


def jittered(rng: np.random.Generator, strength: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A function that moves the keypoints [F, 17, 2] of a window by that share of the picture; [F, 17, 3]."""

    def move(points: NDArray[np.float32]) -> NDArray[np.float32]:
        inside = ((points > 0) & (points < 1)).all(-1, keepdims=True)
        moved = points + strength * rng.normal(size=points.shape)
        return np.concatenate([moved, inside], -1).astype(np.float32)

    return move
