"""What a rendered person wears: parts of the body, colours, patterns, hair, face. All drawn at random from a seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.mannequin.pictures import picture_patch

PARTS = ("skin", "torso", "upperarm", "lowerarm", "thigh", "shin", "foot", "hair", "eye", "face", "brow", "skirt")
"""Index = the number of a part in the shader."""
_BONE_STARTS = {
    "torso": ("spine", "clavicle", "shoulder", "root"),
    "upperarm": ("upperarm",),
    "lowerarm": ("lowerarm",),
    "thigh": ("pelvis", "upperleg"),
    "shin": ("lowerleg",),
    "foot": ("foot", "toe"),
    "eye": ("eye",),
    "face": ("head",),
}
_PLAIN, _STRIPES_Z, _STRIPES_X, _CHECKS, _WAVES, _DOTS, _HALVES_Z, _HALVES_X, _PICTURE = range(9)
_SKIN_TONES = np.array(
    [
        [0.98, 0.83, 0.73],
        [0.94, 0.74, 0.60],
        [0.80, 0.58, 0.42],
        [0.60, 0.41, 0.29],
        [0.40, 0.26, 0.18],
        [0.25, 0.16, 0.12],
    ]
)
_SHIRTS = np.array(
    [[0.95, 0.95, 0.95], [0.08, 0.08, 0.09], [0.5, 0.5, 0.52], [0.12, 0.17, 0.33], [0.55, 0.70, 0.88],
     [0.62, 0.12, 0.14], [0.36, 0.40, 0.22], [0.90, 0.84, 0.70], [0.86, 0.55, 0.60], [0.16, 0.40, 0.30],
     [0.93, 0.75, 0.25], [0.40, 0.22, 0.45]]
)  # fmt: skip
_TROUSERS = np.array(
    [[0.20, 0.30, 0.48], [0.36, 0.47, 0.64], [0.10, 0.13, 0.22], [0.07, 0.07, 0.08], [0.30, 0.30, 0.32],
     [0.70, 0.62, 0.47], [0.40, 0.30, 0.20], [0.85, 0.84, 0.80], [0.33, 0.36, 0.24]]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """One person's clothes and light, as the shader's uniforms; K = len(PARTS)."""

    parts: NDArray[np.int32]
    """[V] part of every body vertex."""
    colours: NDArray[np.float32]
    """[K, 3] first colour, linear in [0, 1]."""
    second_colours: NDArray[np.float32]
    """[K, 3] second colour of a pattern."""
    patterns: NDArray[np.float32]
    """[K, 4] kind, repeats a metre, and two numbers of that pattern."""
    thickness: NDArray[np.float32]
    """[K] metres that the part is pushed outwards."""
    cuts: NDArray[np.float32]
    """[4] hem of the top (z), end of the sleeves (|x|), end of the trousers (z), depth of the collar (z); rest pose."""
    face: NDArray[np.float32]
    """[4] z and |x| of the eyes, y behind which nothing is drawn, strength of the drawing; rest pose."""
    skirt: tuple[float, float, float] | None
    """Length in thighs, width at the hip in metres, flare in metres a thigh; None without a skirt."""
    light: NDArray[np.float32]
    """[3, 3] direction of the key light, direction of the fill light, ambient colour."""
    texture: NDArray[np.uint8]
    """[128, 128, 3] picture of the picture pattern."""


def base_parts(bones: NDArray[np.str_]) -> NDArray[np.int32]:
    """[V] part numbers from the bones' names; hands, neck and all else are skin."""
    parts = np.zeros(len(bones), np.int32)
    for part, starts in _BONE_STARTS.items():
        for start in starts:
            parts[np.char.startswith(bones, start)] = PARTS.index(part)
    return parts


def _colour(rng: np.random.Generator, palette: NDArray[np.float64]) -> NDArray[np.float64]:
    if rng.random() < 0.55:
        return np.clip(
            palette[rng.integers(len(palette))] * rng.uniform(0.8, 1.15) + rng.normal(size=3) * 0.03, 0.02, 1.0
        )
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, 1.0), rng.uniform(0.15, 1.0)))


def _pattern(rng: np.random.Generator) -> NDArray[np.float64]:
    kind = rng.choice(9, p=[0.46, 0.09, 0.05, 0.08, 0.07, 0.05, 0.06, 0.04, 0.10])
    repeats = rng.uniform(2.5, 12.0)
    shift, cut = rng.random(2)
    return np.array([kind, repeats, shift, cut])


def _hair(
    rng: np.random.Generator, parts: NDArray[np.int32], rest: NDArray[np.float32], bones: NDArray[np.str_]
) -> float:
    """Mark hair on parts, in place; returns its thickness in metres."""
    head = np.isin(parts, [PARTS.index("face"), PARTS.index("eye")])
    low, high = rest[head].min(0), rest[head].max(0)
    up, back = (rest[:, 2] - low[2]) / (high[2] - low[2]), (rest[:, 1] - low[1]) / (high[1] - low[1])
    face, hair = parts == PARTS.index("face"), PARTS.index("hair")
    style = rng.choice(["bald", "receding", "short", "medium", "long"], p=[0.08, 0.12, 0.35, 0.2, 0.25])
    if style == "receding":
        parts[face & (back > 0.55) & (up > 0.45)] = hair
    elif style != "bald":
        parts[face & ((up > 0.80) | ((back > 0.5) & (up > (0.35 if style == "short" else 0.1))))] = hair
    if style == "long":
        neck = np.char.startswith(bones, "neck") | np.char.startswith(bones, "spine01")
        reach = rng.uniform(-1.0, -0.1)
        parts[neck & (back > 0.55) & (up > reach) & (np.abs(rest[:, 0]) < 0.11)] = hair
    return {"bald": 0.0, "receding": 0.006, "short": rng.uniform(0.005, 0.03), "medium": rng.uniform(0.015, 0.045)}.get(
        style, rng.uniform(0.015, 0.04)
    )


def random_look(
    rng: np.random.Generator, rest: NDArray[np.float32], bones: NDArray[np.str_], pictures: list[NDArray[np.uint8]]
) -> Look:
    """A person's clothes; rest [V, 3] and bones [V] of the body that wears them."""
    parts, k = base_parts(bones), len(PARTS)
    tone = rng.uniform(0, len(_SKIN_TONES) - 1.001)
    skin = _SKIN_TONES[int(tone)] * (1 - tone % 1) + _SKIN_TONES[int(tone) + 1] * (tone % 1)
    skin = skin * rng.uniform(0.92, 1.05) * np.array([1.0, rng.uniform(0.94, 1.03), rng.uniform(0.9, 1.05)])
    colours, second = np.tile(skin, (k, 1)), np.tile(skin, (k, 1))
    patterns, thickness = np.zeros((k, 4)), np.zeros(k)

    def wear(names: tuple[str, ...], palette: NDArray[np.float64], metres: float, like: str | None = None) -> None:
        pair, pattern = (_colour(rng, palette), _colour(rng, palette)), _pattern(rng)
        for name in names:
            i = PARTS.index(name)
            colours[i], second[i], patterns[i], thickness[i] = pair[0], pair[1], pattern, metres
            if like is not None:
                j = PARTS.index(like)
                colours[i], second[i], patterns[i] = colours[j], second[j], patterns[j]

    loose_top, loose_legs = rng.uniform(0.002, 0.024), rng.uniform(0.002, 0.024)
    wear(("torso",), _SHIRTS, loose_top)
    wear(("upperarm", "lowerarm"), _SHIRTS, loose_top, like="torso" if rng.random() < 0.8 else None)
    wear(("thigh", "shin"), _TROUSERS, loose_legs)
    if rng.random() < 0.08:  # overalls
        wear(("thigh", "shin"), _TROUSERS, loose_legs, like="torso")
    wear(("foot",), np.array([[0.05, 0.05, 0.05], [0.95, 0.95, 0.95], [0.35, 0.2, 0.1]]), 0.006)
    patterns[PARTS.index("foot"), 0] = _PLAIN
    for name, low, high in (("torso", 0.10, 0.45), ("thigh", -0.6, -0.1)):
        i = PARTS.index(name)
        if patterns[i, 0] == _HALVES_Z:
            patterns[i, 3] = rng.uniform(low, high)

    def reach(names: tuple[str, ...], axis: int) -> tuple[float, float]:
        values = (
            np.abs(rest[np.isin(parts, [PARTS.index(n) for n in names]), axis])
            if axis == 0
            else rest[np.isin(parts, [PARTS.index(n) for n in names]), axis]
        )
        return float(values.min()), float(values.max())

    x0, x1 = reach(("upperarm", "lowerarm"), 0)
    sleeve = rng.choice([x0 - 1.0, x0 + (x1 - x0) * rng.uniform(0.15, 0.55), x1 + 1.0], p=[0.15, 0.4, 0.45])
    z0, z1 = reach(("thigh", "shin"), 2)
    trousers = rng.choice([z0 - 1.0, z0 + (z1 - z0) * rng.uniform(0.3, 0.8)], p=[0.7, 0.3])
    hem = z1 - (z1 - z0) * rng.choice([-0.05, rng.uniform(0.0, 0.2), rng.uniform(0.2, 0.4)], p=[0.35, 0.45, 0.2])
    skirt = None
    if rng.random() < 0.18:
        skirt = (float(rng.uniform(0.5, 1.7)), float(rng.uniform(0.10, 0.14)), float(rng.uniform(0.01, 0.13)))
        wear(("skirt",), _SHIRTS, 0.0, like="torso" if rng.random() < 0.4 else None)
        if rng.random() < 0.5:
            trousers = z1 - 0.2 * (z1 - z0)
    hair = np.array([1.0, 0.75, 0.5]) * rng.uniform(0.0, 0.8) ** 1.5 + rng.uniform(0.02, 0.06)
    hair = rng.random(3) if rng.random() < 0.12 else hair * rng.uniform(0.85, 1.15, 3)
    thickness[PARTS.index("hair")] = _hair(rng, parts, rest, bones)
    colours[PARTS.index("hair")], second[PARTS.index("hair")] = hair, hair * 0.7
    patterns[PARTS.index("hair")] = (_WAVES, 12.0, 0.3, 0.2)
    colours[PARTS.index("brow")] = np.minimum(hair, skin * 0.6)
    colours[PARTS.index("eye")] = second[PARTS.index("eye")] = (0.10, 0.09, 0.09)
    eyes = rest[parts == PARTS.index("eye")]
    face = np.array([eyes[:, 2].mean(), np.abs(eyes[:, 0]).mean(), eyes[:, 1].max() + 0.02, rng.uniform(0.4, 1.0)])
    key = np.array([rng.uniform(-0.8, 0.8), -0.8, rng.uniform(0.0, 0.8)])
    fill = np.array([rng.uniform(-1.0, 1.0), -0.5, 0.3])
    ambient = rng.uniform(0.30, 0.52) * rng.uniform(0.93, 1.07, 3)
    light = np.stack([key / np.linalg.norm(key), fill / np.linalg.norm(fill), ambient])
    collar = rng.uniform(0.0, 0.06)
    arrays = (colours, second, patterns, thickness, np.array([hem, sleeve, trousers, collar]), face)
    c1, c2, pat, thick, cuts, drawn = (np.ascontiguousarray(a, np.float32) for a in arrays)
    return Look(
        parts, c1, c2, pat, thick, cuts, drawn, skirt, light.astype(np.float32), picture_patch(rng, pictures, 128)
    )
