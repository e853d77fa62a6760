"""Motion clips: DeepMimic's (MIT licence), read from a folder, and random frames mixed from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRAIN_CLIPS = ("dance_a", "walk", "kick", "jump", "spin", "run")
TEST_CLIPS = ("dance_b", "punch")
_LIMB_SLICES = {"right_leg": (16, 25), "right_arm": (25, 30), "left_leg": (30, 39), "left_arm": (39, 44)}
_ELBOWS, _KNEES, _SHOULDERS, _CHEST_NECK = (29, 43), (20, 34), (25, 39), (8, 12)


def find_clips(folder: Path | None) -> Path:
    """The folder of the motion clips: the one given, else that of an installed `pybullet_data`."""
    if folder is None:
        try:
            import pybullet_data
        except ImportError as error:
            raise FileNotFoundError(
                "no motion clips: give --clips DIR (humanoid3d_*.txt of DeepMimic) or pip install pybullet"
            ) from error
        folder = Path(pybullet_data.getDataPath()) / "data" / "motions"
    if not (folder / "humanoid3d_walk.txt").exists():
        raise FileNotFoundError(f"{folder} holds no humanoid3d_walk.txt; give --clips DIR")
    return folder


def load_clip(folder: Path, name: str) -> NDArray[np.float64]:
    """[frames, 44] of a DeepMimic clip: seconds, root position, then quaternions (w first) and hinge angles."""
    return np.asarray(json.loads((folder / f"humanoid3d_{name}.txt").read_text())["Frames"], dtype=np.float64)


def rotation(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def hinge(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _quaternion_product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    w = a[0] * b[0] - a[1:] @ b[1:]
    return np.concatenate([[w], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])])


def _random_quaternion(rng: np.random.Generator, spread_radians: float) -> NDArray[np.float64]:
    axis = rng.normal(size=3) * spread_radians
    angle = float(np.linalg.norm(axis)) + 1e-9
    return np.concatenate([[np.cos(angle / 2)], axis / angle * np.sin(angle / 2)])


def mixed_frame(rng: np.random.Generator, clips: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """A frame of a clip; six in ten with limbs of other frames and with joints moved at random."""

    def draw() -> NDArray[np.float64]:
        clip = clips[rng.integers(len(clips))]
        return clip[rng.integers(len(clip))].copy()

    frame = draw()
    if rng.random() < 0.6:
        for first, last in _LIMB_SLICES.values():
            if rng.random() < 0.5:
                frame[first:last] = draw()[first:last]
        for joints, spread in ((_SHOULDERS, 0.35), (_CHEST_NECK, 0.12)):
            for k in joints:
                frame[k : k + 4] = _quaternion_product(frame[k : k + 4], _random_quaternion(rng, spread))
        for k in _ELBOWS:
            frame[k] = np.clip(frame[k] + rng.normal() * 0.4, 0.0, 2.4)
    return frame
