"""Test clips of rendered people: bodies, clothes, photographs and motions that no training has seen, drawn by seed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.quality.sets import Case, Kind, Sizes, TestClip, box, box_iou, kind_of
from tpc_stream.frame import Frame, Portrait, PosedFrame

SIZE = 256
"""Pixels of the rendered pictures, the default bundle's analysis canvas."""
RATE = 25
CANDIDATES = 6
"""Poses that are tried as the reference's, until one is aligned with every frame."""
APART_SECONDS = 0.25
"""The reference's pose is at least this far from the frames'."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a reference stands against the frames."""

    name: str
    scale: float = 1.0
    degrees: float = 0.0
    kind: Kind | None = None
    """What it must be against every frame of its clip; None: whatever it is."""


Placements = Callable[[np.random.Generator, int], Sequence[Placement]]
"""The references of a clip; the number is its seed's and its own together."""


def aligned_and_not(rng: np.random.Generator, number: int) -> Sequence[Placement]:
    """One reference of each set. The misaligned take turns: turned, smaller, larger, turned and scaled."""
    turn = float(rng.uniform(35, 180) * rng.choice([-1.0, 1.0]))
    ends = ((0.35, 0.65), (1.5, 2.0), (0.5, 1.5))
    small, large, any_size = (float(np.exp(rng.uniform(*np.log(pair)))) for pair in ends)
    apart = (
        Placement("turned", 1.0, turn, "misaligned"),
        Placement("smaller", small, 0.0, "misaligned"),
        Placement("larger", large, 0.0, "misaligned"),
        Placement("turned and scaled", any_size, turn, "misaligned"),
    )
    return Placement("aligned", kind="aligned"), apart[number % len(apart)]


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """One picture of the person."""

    frame: NDArray[np.uint8]
    """[S, S, 4]."""
    keypoints: NDArray[np.float32]
    """[17, 2] pixels."""


class Workshop:
    """The renderer, the body model and the motions; opened once, it makes any number of clips."""

    def __init__(self, sizes: Sizes, *, clips: Path | None = None) -> None:
        os.environ.setdefault("LP_NUM_THREADS", "1")  # the software rasteriser's threads would crowd the engines out
        from export.mannequin.bodies import Poser
        from export.mannequin.flow import FlowRenderer
        from export.mannequin.motion import TEST_CLIPS, find_clips, load_clip
        from export.mannequin.pictures import load_pictures
        from export.mannequin.renderer import Renderer

        self._sizes = sizes
        folder = find_clips(clips)
        self._motions = [load_clip(folder, name) for name in TEST_CLIPS]
        self._pictures = load_pictures("test")
        self._poser = Poser()
        self._renderer = Renderer(self._poser.faces, len(self._poser.bones), size=SIZE)
        self._flow = FlowRenderer(self._renderer.context, self._poser.faces, len(self._poser.bones), size=SIZE)

    def clips(
        self, *, seed: int, count: int, frames: int, placements: Placements = aligned_and_not
    ) -> Iterator[TestClip]:
        """`count` clips of `frames` frames at 25 a second; the same seed gives the same clips."""
        for number in range(count):
            rng = np.random.default_rng([seed, number, 4242])
            clip = None
            while clip is None:
                clip = self._clip(rng, f"seed {seed}, clip {number}", seed + number, frames, placements)
            yield clip

    def _clip(
        self, rng: np.random.Generator, name: str, number: int, frames: int, placements: Placements
    ) -> TestClip | None:
        """None where no pose was aligned with all frames, or a reference is not of the kind that is asked for."""
        from export.mannequin.bodies import random_phenotype, vertex_normals
        from export.mannequin.clothes import random_look
        from export.mannequin.demo_clip import clip_at
        from export.mannequin.evaluate import on_plate
        from export.mannequin.scene import background, camera, place, project

        poser, motion = self._poser, self._motions[rng.integers(len(self._motions))]
        phenotype = random_phenotype(rng)
        bones, rest = poser.rest(phenotype)
        length = (len(motion) - 1) * motion[0, 0]
        start = float(rng.uniform(0, max(length - frames / RATE, 0.0)))
        times = [start + k / RATE for k in range(frames)]
        others = [t for t in rng.uniform(0, length, 40) if t < start - APART_SECONDS or t > times[-1] + APART_SECONDS]
        poses = [clip_at(motion, float(t)) for t in (*times, *others[:CANDIDATES])]
        vertices, points = poser.pose(phenotype, np.stack([poser.bone_poses(bones, pose) for pose in poses]))
        seen = camera(float(rng.uniform(-0.9, 0.9)), rng.normal() * 0.05, rng.uniform(3.4, 7.0))
        scale, roll = rng.uniform(0.72, 0.95), rng.normal() * 0.05
        view = place(scale, roll, rng.normal() * 0.06, rng.normal() * 0.05) @ seen
        size, own_roll, x, y = 1 + rng.normal() * 0.04, rng.normal() * 0.05, rng.normal() * 0.06, rng.normal() * 0.05

        def reference_view(placed: Placement) -> NDArray[np.float64]:
            return place(scale * size * placed.scale, own_roll + np.radians(placed.degrees), x, y) @ seen

        def extent(k: int, clip: NDArray[np.float64]) -> tuple[float, float, float, float]:
            at = project(vertices[k], clip).clip(0, 1)
            (left, top), (right, bottom) = at.min(0), at.max(0)
            return left, top, right, bottom

        aligned = reference_view(Placement("aligned"))
        bodies = [extent(k, view) for k in range(frames)]
        fitting = [
            k for k in range(frames, len(poses))
            if min(box_iou(extent(k, aligned), b) for b in bodies) >= 0.73  # clothes make the boxes a little larger
        ]  # fmt: skip
        if not fitting:
            return None
        chosen = fitting[0]
        look = random_look(rng, rest, poser.bones, self._pictures)
        self._renderer.dress(look, rest)
        ground = background(rng, self._pictures, SIZE)

        def draw(k: int, clip: NDArray[np.float64]) -> _Drawn:
            picture = self._renderer.draw(vertices[k], vertex_normals(vertices[k], poser.faces), points[k], clip)
            return _Drawn(picture, project(points[k], clip) * SIZE)

        drawn = [draw(k, view) for k in range(frames)]
        references = {
            placed: (draw(chosen, reference_view(placed)), own_roll - roll + np.radians(placed.degrees))
            for placed in placements(rng, number)
        }
        sizes = self._sizes

        def picture(item: _Drawn) -> NDArray[np.uint8]:
            return sizes.picture(on_plate(item.frame, ground).round().astype(np.uint8))

        posed = []
        for k, item in enumerate(drawn):
            body = sizes.on_canvas(item.frame, item.keypoints, item.frame[..., 3])
            posed.append(PosedFrame(Frame(k, Fraction(k, RATE), picture(item), time.perf_counter()), body))
        boxes = [box(item.frame[..., 3]) for item in drawn]
        cases = []
        for placed, (item, angle) in references.items():
            body = sizes.on_canvas(item.frame, item.keypoints, item.frame[..., 3])
            kinds = tuple(kind_of(angle, box_iou(box(item.frame[..., 3]), b)) for b in boxes)
            if placed.kind is not None and set(kinds) != {placed.kind}:
                return None
            cases.append(Case(placed.name, Portrait(image=picture(item), mask=body.silhouette, body=body), kinds))
        flow = [self._flow.flow(vertices[k], vertices[k + 1], view) for k in range(frames - 1)]
        return TestClip(
            name, tuple(posed), np.stack([sizes.shown(p.frame.image) for p in posed]),
            np.stack([sizes.shown(p.body.silhouette) for p in posed if p.body is not None]),
            np.stack([sizes.flow(f) for f in flow]) if flow else None, tuple(cases),
        )  # fmt: skip
