"""An approximate DensePose picture: silhouette pixels go to the nearest limb, and take its part's colour.

DensePose itself is a network that is not part of this package; give its own pictures where there are any. What is drawn
here has the right colours, limbs and sides, but straight borders between parts, and no inside and outside of an arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import KEYPOINT_NAMES, Body

THRESHOLD = 0.3
"""Keypoints less visible than this carry no limb."""
PARTS = 24
_HAND = 0.45
"""Of the lower arm: how far a hand reaches beyond the wrist; a foot beyond the ankle, of the lower leg: half of it."""
_SIDES = ("right", "left")
_FRONT_PARTS: dict[str, tuple[int, int]] = {
    "torso": (2, 2), "hand": (3, 4), "foot": (6, 5), "upper_leg": (9, 10), "lower_leg": (13, 14), "upper_arm": (18, 17),
    "lower_arm": (22, 21), "head": (23, 24),
}  # fmt: skip
"""Limb -> the numbers of DensePose's parts, (right, left), of somebody who is seen from the front."""
_BACK_PARTS = _FRONT_PARTS | {"torso": (1, 1), "upper_leg": (7, 8), "lower_leg": (11, 12)}
_WIDTHS = {"head": 0.24, "torso": 0.5, "upper_leg": 0.22, "lower_leg": 0.16, "foot": 0.14, "upper_arm": 0.14,
           "lower_arm": 0.12, "hand": 0.12}  # fmt: skip
"""Half the width of a limb, in lengths of the torso's upper edge or height, whichever is longer."""


@dataclass(frozen=True, slots=True)
class _Limb:
    part: int
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: float


@lru_cache(maxsize=1)
def part_colours() -> NDArray[np.uint8]:
    """[25, 3] RGB: 0 is the background, 1 to 24 are DensePose's parts, along the colours of VIRIDIS."""
    steps = np.array([[part * 255 // PARTS for part in range(PARTS + 1)]], dtype=np.uint8)
    return np.asarray(cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS)[0, :, ::-1], dtype=np.uint8)


def draw_densepose(body: Body, *, width: int, height: int) -> NDArray[np.uint8]:
    """HWC RGB uint8: approximate parts in DensePose's colours on their background. `body` in pixels of any canvas."""
    parts, _, _ = body_parts(body, width=width, height=height)
    return np.ascontiguousarray(part_colours()[parts])


def draw_densepose_uv(body: Body, *, width: int, height: int) -> NDArray[np.uint8]:
    """HWC uint8 with two channels, U and V: approximate places across and along each limb; 0 on the background."""
    _, across, along = body_parts(body, width=width, height=height)
    return np.ascontiguousarray(np.rint(np.stack([across, along], axis=-1) * 255).astype(np.uint8))


def body_parts(
    body: Body, *, width: int, height: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """HW part numbers, and HW places across and along the part's limb, in [0, 1]; all 0 on the background."""
    rows, columns = body.silhouette.shape
    silhouette = cv2.resize(body.silhouette, (width, height), interpolation=cv2.INTER_AREA) > 127
    limbs = _limbs(body.keypoints * np.array([width / columns, height / rows]), body.visibility >= THRESHOLD)
    parts = np.zeros((height, width), dtype=np.uint8)
    across, along = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    y, x = np.nonzero(silhouette)
    if not limbs or not len(x):
        return parts, across, along
    pixels = np.column_stack([x + 0.5, y + 0.5]).astype(np.float32)
    nearest = np.full(len(pixels), np.inf, np.float32)
    for limb in limbs:
        axis = (limb.end - limb.start).astype(np.float32)
        from_start = pixels - limb.start.astype(np.float32)
        t = np.clip(from_start @ axis / max(float(axis @ axis), 1e-6), 0, 1)
        away = from_start - t[:, None] * axis
        distance = np.hypot(away[:, 0], away[:, 1])
        better = distance / limb.radius < nearest
        nearest = np.where(better, distance / limb.radius, nearest)
        side = np.sign(axis[0] * from_start[:, 1] - axis[1] * from_start[:, 0]) * distance / limb.radius
        chosen = y[better], x[better]
        parts[chosen] = limb.part
        across[chosen] = np.clip(0.5 + side[better] / 2, 0, 1)
        along[chosen] = t[better]
    return parts, across, along


def _limbs(points: NDArray[np.float64], seen: NDArray[np.bool_]) -> list[_Limb]:
    at = {name: points[k] for k, name in enumerate(KEYPOINT_NAMES) if seen[k]}
    shoulders = [at[f"{side}_shoulder"] for side in _SIDES if f"{side}_shoulder" in at]
    hips = [at[f"{side}_hip"] for side in _SIDES if f"{side}_hip" in at]
    if not shoulders:
        return []
    front = len(shoulders) < 2 or shoulders[1][0] >= shoulders[0][0]  # the left side is on the picture's right
    numbers = _FRONT_PARTS if front else _BACK_PARTS
    neck = np.mean(shoulders, axis=0)
    waist = np.mean(hips, axis=0) if hips else neck + np.array([0.0, 1.0])
    size = max(float(np.linalg.norm(waist - neck)), float(np.linalg.norm(shoulders[-1] - shoulders[0])), 4.0)
    limbs: list[_Limb] = []

    def add(name: str, side: int, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
        limbs.append(_Limb(numbers[name][side], start, end, max(_WIDTHS[name] * size, 1.0)))

    for side, word in enumerate(_SIDES):
        shoulder, hip = at.get(f"{word}_shoulder"), at.get(f"{word}_hip")
        for start, joint, tip, upper, lower, end, reach in (
            (shoulder, "elbow", "wrist", "upper_arm", "lower_arm", "hand", _HAND),
            (hip, "knee", "ankle", "upper_leg", "lower_leg", "foot", _HAND / 2),
        ):
            middle, last = at.get(f"{word}_{joint}"), at.get(f"{word}_{tip}")
            if start is not None and middle is not None:
                add(upper, side, start + (0.2 if upper == "upper_leg" else 0.0) * (middle - start), middle)
            if middle is not None and last is not None:
                add(lower, side, middle, last)
                add(end, side, last + reach * 0.3 * (last - middle), last + reach * (last - middle))
    if hips:
        add("torso", 0, neck + 0.15 * (waist - neck), waist + 0.05 * (waist - neck))
    face = [at[name] for name in KEYPOINT_NAMES[:5] if name in at]
    if face:
        centre = np.mean(face, axis=0)
        up = centre - neck
        sideways = np.array([up[1], -up[0]]) / max(float(np.linalg.norm(up)), 1e-6) * _WIDTHS["head"] * size / 2
        # seen from the front, the person's right is on the picture's left
        right = sideways if (sideways[0] < 0) == front else -sideways
        for side, shift in enumerate((right, -right)):
            add("head", side, centre + shift - 0.2 * up, centre + shift + 0.6 * up)
    return limbs
