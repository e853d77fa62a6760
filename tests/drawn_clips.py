"""Test clips of drawn people, for what measures quality: quick to make, without a renderer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bench.drawn_people import STANDING, bent, placed, silhouette
from bench.quality.sets import Case, Sizes, TestClip
from tpc_stream.frame import Body, Frame, Portrait, PosedFrame, Similarity


def drawn_clip(sizes: Sizes, seed: int) -> TestClip:
    """A red person before blue, and two references: as the frames, and turned by a right angle."""

    def body(number: int, degrees: float) -> tuple[Body, NDArray[np.uint8]]:
        points = bent(STANDING, seed=number, pixels=6)
        points = placed(points, Similarity(0.9, float(np.radians(degrees)), (128.0, 128.0)))
        mask = silhouette(points)
        alpha = mask[..., None] / 255.0
        picture = (np.array([200, 30, 20]) * alpha + np.array([20, 30, 200]) * (1 - alpha)).astype(np.uint8)
        return Body(points, np.ones(17, np.float32), mask), picture

    made = [body(100 * seed + k, 0) for k in range(4)]
    frames = tuple(PosedFrame(Frame(k, Fraction(k, 25), p, 0.0), b) for k, (b, p) in enumerate(made))
    cases = []
    for kind, degrees in (("aligned", 0.0), ("misaligned", 90.0)):
        own, picture = body(100 * seed + 50, degrees)
        cases.append(Case(kind, Portrait(picture, own.silhouette, own), (kind,) * 4))
    return TestClip(
        f"drawn {seed}", frames, np.stack([sizes.shown(p) for _, p in made]),
        np.stack([sizes.shown(b.silhouette) for b, _ in made]), None, tuple(cases),
    )  # fmt: skip
