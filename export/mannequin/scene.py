"""Where a rendered person stands: cameras, in-plane placement, backgrounds."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from export.mannequin.pictures import picture_patch

STANDING_METRES = 1.72
"""A scale of 1 draws a body of this height as high as the frame."""


def camera(
    yaw_radians: float, pitch_radians: float, distance_metres: float, fov_degrees: float = 35.0
) -> NDArray[np.float64]:
    """[4, 4] clip matrix of a camera that looks along +y at the origin; a body at scale 1 then fills the height."""
    f, near, far = 1.0 / np.tan(np.radians(fov_degrees) / 2), 0.1, 50.0
    projection = np.array(
        [[f, 0, 0, 0], [0, f, 0, 0], [0, 0, (far + near) / (near - far), 2 * far * near / (near - far)], [0, 0, -1, 0]]
    )
    c, s = np.cos(yaw_radians), np.sin(yaw_radians)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(pitch_radians), np.sin(pitch_radians)
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    view = np.eye(4)
    view[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) @ tilt @ turn
    view[2, 3] = -distance_metres
    height = STANDING_METRES * f / distance_metres / 2.0  # of the body, as a share of the frame
    return np.diag([1 / height, 1 / height, 1.0, 1.0]) @ projection @ view


def place(scale: float, roll_radians: float, x: float, y: float) -> NDArray[np.float64]:
    """[4, 4] similarity in the picture: scale, turn to the left, then shift; x right, y up, 1 = half a frame."""
    c, s = np.cos(roll_radians) * scale, np.sin(roll_radians) * scale
    m = np.eye(4)
    m[:2, :2], m[:2, 3] = [[c, -s], [s, c]], (x, y)
    return m


def project(points: NDArray[np.float32], clip: NDArray[np.float64]) -> NDArray[np.float32]:
    """[P, 2] picture coordinates (x / width, y / height) of points [P, 3] in metres."""
    h = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ clip.T
    return np.stack([h[:, 0] / h[:, 3] * 0.5 + 0.5, 0.5 - h[:, 1] / h[:, 3] * 0.5], axis=1).astype(np.float32)


def background(rng: np.random.Generator, pictures: list[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    """[size, size, 3] a gradient, noise, a photograph, or a wall with a floor."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    first, last = rng.random((2, 3)) * 255
    angle = rng.uniform(0, 2 * np.pi)
    mix = np.clip((columns - 0.5) * np.cos(angle) + (rows - 0.5) * np.sin(angle) + 0.5, 0, 1)[..., None]
    plain, kind = first * (1 - mix) + last * mix, rng.random()
    if kind < 0.3:
        out = plain
    elif kind < 0.4:
        cells = int(rng.integers(3, 24))
        noise = cv2.resize(rng.random((cells, cells, 3)), (size, size), interpolation=cv2.INTER_CUBIC) * 255
        out = plain * 0.6 + noise * 0.4
    elif kind < 0.75:
        out = picture_patch(rng, pictures, size).astype(np.float64)
        if rng.random() < 0.4:
            out = cv2.GaussianBlur(out, (0, 0), rng.uniform(1, 4))
    else:
        out = np.tile(first if rng.random() < 0.6 else np.full(3, 245.0), (size, size, 1))
        out[int(size * rng.uniform(0.55, 0.9)) :] = last * rng.uniform(0.5, 1.0)
        out = out * (0.8 + 0.25 * rows[..., None])
    return out.clip(0, 255).astype(np.uint8)
