"""Render clips of people in motion: `python -m export mannequin clips`, for what must look at several frames at once.

A clip is one person in one outfit and one place: eight frames that follow each other, and a reference beside them.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLIP_FRAMES, CLIP_SIZE = 8, 256
RATES = (12.0, 30.0)
"""Frames a second, at least and at most."""
APART_SECONDS = 0.25
"""The reference's moment is at least this far from the frames'."""
_HIPS = slice(11, 13)

Matrix = NDArray[np.float64]


def poses(rng: np.random.Generator, motions: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """[1 + CLIP_FRAMES, 44] frames of motion clips, the reference's first.

    Limbs are mixed and joints moved as `mixed_frame` does it for still pictures, but by the same drawing at every
    moment: all of it moves smoothly. Half of the references are another moment of that motion, half another motion.
    """
    from export.mannequin.demo_clip import clip_at
    from export.mannequin.motion import mixed_frame

    begun = rng.uniform(0.0, 9.0, len(motions))

    def at(drawing: int, seconds: float) -> NDArray[np.float64]:
        moment = [clip_at(m, float(b) + seconds)[None] for m, b in zip(motions, begun, strict=True)]
        return mixed_frame(np.random.default_rng(drawing), moment)

    drawing, another = (int(k) for k in rng.integers(1 << 31, size=2))
    times = np.arange(CLIP_FRAMES) / rng.uniform(*RATES)
    away = APART_SECONDS + float(rng.uniform(0.0, 2.5))
    beside = 10.0 - away if rng.random() < 0.5 else 10.0 + float(times[-1]) + away
    reference = at(drawing if rng.random() < 0.5 else another, beside)
    return np.stack([reference, *(at(drawing, 10.0 + float(t)) for t in times)])


def views(rng: np.random.Generator, *, turned: float) -> list[Matrix]:
    """1 + CLIP_FRAMES clip matrices [4, 4], the reference's first; with probability `turned` all lie on their side.

    The reference differs by 4 % in size and 3-4 degrees, as in `render_groups`; half of the cameras move a little.
    """
    from export.mannequin.scene import camera, place

    yaw = rng.uniform(-1.05, 1.05) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi)
    pitch, distance = rng.normal() * 0.07, rng.uniform(3.4, 7.0)
    scale = rng.uniform(0.62, 0.98) if rng.random() < 0.6 else np.exp(rng.uniform(np.log(0.35), np.log(1.35)))
    x, y = rng.uniform(-0.2, 0.2, 2)
    y -= max(0.0, scale - 0.9) * rng.uniform(0.3, 1.1)  # of a near person, show the upper half
    roll = rng.uniform(-1.9, 1.9) if rng.random() < turned else rng.normal() * 0.06
    other = place(
        scale * (1 + rng.normal() * 0.04), roll + rng.normal() * 0.06, x + rng.normal() * 0.04, y + rng.normal() * 0.03
    ) @ camera(yaw + rng.normal() * 0.12, pitch, distance)
    moves = rng.normal(size=5) * (0.05, 0.05, 0.04, 0.04, 0.08) * (rng.random() < 0.5)
    bend = rng.uniform(0.6, 1.6)  # slower first or slower last
    found = [other]
    for share in np.linspace(0.0, 1.0, CLIP_FRAMES) ** bend - 0.5:
        dx, dy, zoom, turn, round_about = moves * share
        found.append(
            place(scale * np.exp(zoom), roll + turn, x + dx, y + dy) @ camera(yaw + round_about, pitch, distance)
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One rendered clip; index 0 of the frames is the reference."""

    frames: NDArray[np.uint8]
    """[1 + CLIP_FRAMES, S, S, 4] RGB straight + alpha."""
    background: NDArray[np.uint8]
    """[S, S, 3]."""
    keypoints: NDArray[np.float32]
    """[1 + CLIP_FRAMES, 17, 2] x / width, y / height."""
    flow: NDArray[np.float32] | None
    """[CLIP_FRAMES - 1, S, S, 2] pixels to the next frame, nan off the body and where hidden; None: not asked for."""


class ClipRenderer:
    """Body model, renderer and motions of one split; opened once, it draws any number of clips."""

    def __init__(self, split: str, motions: Path, *, size: int = CLIP_SIZE) -> None:
        import cv2

        from export.mannequin.bodies import Poser
        from export.mannequin.flow import FlowRenderer
        from export.mannequin.motion import TEST_CLIPS, TRAIN_CLIPS, load_clip
        from export.mannequin.pictures import load_pictures
        from export.mannequin.renderer import Renderer

        cv2.setNumThreads(1)
        self._size, self._split = size, split
        self._motions = [load_clip(motions, n) for n in (TRAIN_CLIPS if split == "train" else TEST_CLIPS)]
        self._pictures, self._poser = load_pictures(split), Poser()
        self._renderer = Renderer(self._poser.faces, len(self._poser.bones), size=size)
        self._flow = FlowRenderer(self._renderer.context, self._poser.faces, len(self._poser.bones), size=size)

    def draw(self, rng: np.random.Generator) -> Clip:
        """The next clip: a new body in new clothes. Of split "test" the camera stands still and the flow is known."""
        from export.mannequin.bodies import random_phenotype, vertex_normals
        from export.mannequin.clothes import random_look
        from export.mannequin.scene import background, project

        poser, test = self._poser, self._split == "test"
        phenotype = random_phenotype(rng)
        bones, rest = poser.rest(phenotype)
        bodies, points = poser.pose(
            phenotype, np.stack([poser.bone_poses(bones, f) for f in poses(rng, self._motions)])
        )
        if rng.random() < 0.5:  # the hips stay where they are; else the middle of the body's box does
            hips = points[1:, _HIPS].mean(1, keepdims=True)
            bodies[1:] += hips.mean(0) - hips
            points[1:] += hips.mean(0) - hips
        self._renderer.dress(random_look(rng, rest, poser.bones, self._pictures), rest)
        seen = views(rng, turned=0.0 if test else 0.1)
        seen[1:] = [seen[1]] * CLIP_FRAMES if test else seen[1:]
        frames = [
            self._renderer.draw(b, vertex_normals(b, poser.faces), p, v)
            for b, p, v in zip(bodies, points, seen, strict=True)
        ]
        flow = [self._flow.flow(bodies[k], bodies[k + 1], seen[k]) for k in range(1, CLIP_FRAMES)] if test else None
        return Clip(
            np.stack(frames), background(rng, self._pictures, self._size),
            np.stack([project(p, v) for p, v in zip(points, seen, strict=True)]),
            None if flow is None else np.stack(flow),
        )  # fmt: skip


def write_clips(folder: Path, renderer: ClipRenderer, *, worker: int, count: int, seed: int) -> None:
    """Write clip_frames_{worker}.npy, clip_backgrounds_ and clip_keypoints_, each one's first axis `count` long.

    Under other names until all is there; the frames take theirs last.
    """
    rng, parts = np.random.default_rng([seed, worker, 91]), ("keypoints", "backgrounds", "frames")
    arrays: dict[str, NDArray[np.generic]] = {}
    start = time.monotonic()
    for g in range(count):
        clip = renderer.draw(rng)
        for name, values in zip(parts, (clip.keypoints, clip.background, clip.frames), strict=True):
            if name not in arrays:
                path = folder / f"clip_{name}_{worker}.tmp"
                arrays[name] = np.lib.format.open_memmap(path, "w+", values.dtype, (count, *values.shape))
            arrays[name][g] = values
        if g % 100 == 99 or g == count - 1:
            seconds = time.monotonic() - start
            print(f"worker {worker}: {g + 1} clips, {seconds:.0f}s, {seconds * 1e3 / (g + 1):.0f} ms each", flush=True)
    for name in parts:
        arrays[name].flush()  # type: ignore[attr-defined]  # of a memmap
        (folder / f"clip_{name}_{worker}.tmp").rename(folder / f"clip_{name}_{worker}.npy")


def write_test_clips(folder: Path, renderer: ClipRenderer, *, count: int, seed: int) -> None:
    """Write test_clips.npz: frames, backgrounds, keypoints and flow (half precision) of clips held out."""
    rng = np.random.default_rng([seed, 778])
    clips = [renderer.draw(rng) for _ in range(count)]
    flows = [c.flow for c in clips if c.flow is not None]
    np.savez(
        folder / "test_clips.tmp.npz", frames=np.stack([c.frames for c in clips]),
        backgrounds=np.stack([c.background for c in clips]), keypoints=np.stack([c.keypoints for c in clips]),
        flow=np.stack(flows).astype(np.float16),
    )  # fmt: skip
    (folder / "test_clips.tmp.npz").rename(folder / "test_clips.npz")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin clips", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder for everything made here")
    parser.add_argument("--clips", type=Path, help="folder of humanoid3d_*.txt; default: an installed pybullet_data")
    parser.add_argument("--count", type=int, default=1600, help="training clips; 0: none")
    parser.add_argument("--worker", type=int, default=0, help="the number of the files, and of the drawing")
    parser.add_argument("--test-count", type=int, default=24, help="clips held out; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    os.environ.setdefault("LP_NUM_THREADS", "1")  # the software rasteriser
    import torch

    from export.mannequin.motion import find_clips

    torch.set_num_threads(1)
    motions = find_clips(options.clips)
    options.data.mkdir(parents=True, exist_ok=True)
    if options.test_count:
        write_test_clips(options.data, ClipRenderer("test", motions), count=options.test_count, seed=options.seed)
    if options.count:
        write_clips(
            options.data, ClipRenderer("train", motions), worker=options.worker, count=options.count, seed=options.seed
        )
    return 0
