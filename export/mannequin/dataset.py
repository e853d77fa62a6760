"""Rendered groups on disk, as training reads them: pictures for the autoencoder, latents for the denoiser."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.mannequin.networks import Autoencoder
from export.mannequin.render import GROUP, SIZE

ERRING = 2
"""Frames of each group that are encoded a second time, with mask errors, to serve as references."""


class Pictures:
    """The groups of all render workers, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        found = sorted(folder.glob("frames_*.npy"))
        if not found:
            raise FileNotFoundError(f"{folder} holds no frames_*.npy; run `python -m export mannequin render` first")
        self._frames = [np.load(f, mmap_mode="r") for f in found]
        self._backgrounds = [
            np.load(f.with_name(f.name.replace("frames", "backgrounds")), mmap_mode="r") for f in found
        ]
        self.keypoints = np.concatenate([np.load(f.with_name(f.name.replace("frames", "keypoints"))) for f in found])
        """[G, 8, 17, 2] x / width, y / height."""
        self._starts = np.cumsum([0, *(len(f) for f in self._frames)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def group(self, g: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Frames [8, S, S, 4] RGB straight + alpha, and the background [S, S, 3] of group g."""
        part = int(np.searchsorted(self._starts, g, side="right")) - 1
        return self._frames[part][g - self._starts[part]], self._backgrounds[part][g - self._starts[part]]


def to_tensors(frames: NDArray[np.uint8], *, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Images [N, 3, S, S] in [-1, 1] and mattes [N, 1, S, S] in [0, 1] of frames [N, S, S, 4]."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float()
    return x[:, :3] / 127.5 - 1.0, x[:, 3:] / 255.0


def as_reference(
    rng: np.random.Generator | None, frame: NDArray[np.uint8], background: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """[S, S, 4] the frame as a user would give it: laid on its background, with a mask that errs if rng is given.

    The mask grows or shrinks by one or two pixels, is smoothed, and now and then loses or gains a patch, so that some
    background shows inside it; the picture itself may be a little brighter, darker or tinted.
    """
    alpha = frame[..., 3:].astype(np.float32) / 255.0
    image = frame[..., :3] * alpha + background * (1.0 - alpha)
    mask = frame[..., 3]
    if rng is not None:
        kind, width = rng.random(), int(rng.integers(1, 3)) * 2 + 1
        if kind < 0.35:
            mask = cv2.dilate(mask, np.ones((min(width, 5), min(width, 5)), np.uint8))
        elif kind < 0.6:
            mask = cv2.erode(mask, np.ones((3, 3), np.uint8))
        if rng.random() < 0.3:
            mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 1.5)))
        if rng.random() < 0.15:
            mask = mask.copy()
            y, x, r = (int(v) for v in (rng.integers(SIZE), rng.integers(SIZE), rng.integers(2, 8)))
            cv2.circle(mask, (x, y), r, int(rng.choice([0, 255])), -1)
    return np.concatenate([image.clip(0, 255), mask[..., None]], -1).astype(np.uint8)


def write_latents(pictures: Pictures, autoencoder: Autoencoder, folder: Path, *, seed: int) -> None:
    """Write latents.npy [G, 8 + ERRING, z, h, w] float16, and mattes.npy [G, 8 + ERRING, h, w] uint8.

    The first eight are the clean frames; the others are the first frames again, as references with mask errors.
    """
    rng = np.random.default_rng([seed, 5])
    z = autoencoder.mean.shape[1]
    side, count, each = SIZE // 4, len(pictures), GROUP + ERRING
    latents = np.lib.format.open_memmap(folder / "latents.tmp.npy", "w+", np.float16, (count, each, z, side, side))
    mattes = np.lib.format.open_memmap(folder / "mattes.npy", "w+", np.uint8, (count, each, side, side))
    for g in range(count):
        frames, background = pictures.group(g)
        erring = [as_reference(rng, f, background) for f in frames[:ERRING]]
        images, matte = to_tensors(np.concatenate([frames, np.stack(erring)]), device=autoencoder.mean.device)
        with torch.no_grad(), torch.autocast(images.device.type, dtype=torch.bfloat16):
            out = autoencoder.encode(images.to(memory_format=torch.channels_last), matte)
        latents[g] = out.half().cpu().numpy()
        mattes[g] = (torch.nn.functional.avg_pool2d(matte, 4)[:, 0] * 255.0).round().byte().cpu().numpy()
        if g % 1000 == 999:
            print(f"latents: {g + 1} of {count} groups", flush=True)
    latents.flush()
    (folder / "latents.tmp.npy").rename(folder / "latents.npy")


class Latents:
    """What `write_latents` wrote, memory-mapped, with the keypoints."""

    def __init__(self, folder: Path, pictures: Pictures) -> None:
        self.latents = np.load(folder / "latents.npy", mmap_mode="r")
        self.mattes = np.load(folder / "mattes.npy", mmap_mode="r")
        self.keypoints = pictures.keypoints

    def __len__(self) -> int:
        return len(self.latents)


def seen_keypoints(rng: np.random.Generator, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., 17, 3] keypoints as an estimator gives them: moved by a pixel or so, some doubted, outside ones unseen."""
    noise = rng.choice([0.002, 0.006, 0.012], size=(*keypoints.shape[:-2], 1, 1)) * rng.normal(size=keypoints.shape)
    inside = ((keypoints > 0.0) & (keypoints < 1.0)).all(-1)
    doubt = np.where(rng.random(inside.shape) < 0.12, rng.uniform(0.0, 1.0, inside.shape), 1.0)
    doubt = np.where(rng.random((*inside.shape[:-1], 1)) < 0.4, doubt, 1.0)  # four in ten pictures have doubted points
    guessed = rng.random(inside.shape) < 0.5  # estimators also guess points outside the picture, with little confidence
    visibility = np.where(inside, doubt, np.where(guessed, rng.uniform(0.0, 0.6, inside.shape), 0.0))
    return np.concatenate([keypoints + noise, visibility[..., None]], -1).astype(np.float32)
