"""Render training groups and the test set: `python -m export mannequin render`.

A group is one person in one outfit, one place and one camera, in eight poses, aligned as the frames of a video are.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # they load a renderer and a body model, which training on what was rendered does not need
    from export.mannequin.bodies import PosedBodies
    from export.mannequin.renderer import Renderer

Dress = Callable[[int], NDArray[np.uint8]]

GROUP, SIZE = 8, 128
CONDITIONS: tuple[tuple[str, float, float], ...] = (
    ("aligned", 1.0, 0.0),
    *((f"turned {degrees}", 1.0, float(degrees)) for degrees in (30, 60, 90, 180)),
    *((f"scaled {scale}", scale, 0.0) for scale in (0.5, 0.7, 1.4, 2.0)),
)
"""Of the test references: name, scale and turn (degrees) against the target."""


def _workshop(folder: Path, split: str, rng: np.random.Generator) -> tuple[PosedBodies, Renderer, Dress]:
    """Bodies, a renderer, and a function that dresses body b and returns a background."""
    import cv2

    from export.mannequin.bodies import PosedBodies
    from export.mannequin.clothes import random_look
    from export.mannequin.pictures import load_pictures
    from export.mannequin.renderer import Renderer
    from export.mannequin.scene import background

    cv2.setNumThreads(1)
    bodies = PosedBodies.load(folder / "bodies", split)
    pictures = load_pictures(split)
    renderer = Renderer(bodies.faces, bodies.vertices.shape[2], size=SIZE)

    def dress(b: int) -> NDArray[np.uint8]:
        renderer.dress(random_look(rng, bodies.rest[b], bodies.bones, pictures), bodies.rest[b])
        return background(rng, pictures, SIZE)

    return bodies, renderer, dress


def _yaw(rng: np.random.Generator) -> float:
    return float(rng.uniform(-1.05, 1.05) if rng.random() < 0.75 else rng.uniform(-np.pi, np.pi))


def render_groups(folder: Path, *, worker: int, groups: int, seed: int) -> None:
    """Write frames_{worker}.npy [G, 8, S, S, 4], backgrounds_ [G, S, S, 3] and keypoints_ [G, 8, 17, 2]."""
    from export.mannequin.scene import camera, place, project

    rng = np.random.default_rng([seed, worker])
    bodies, renderer, dress = _workshop(folder, "train", rng)

    def array(name: str, dtype: type, *shape: int) -> NDArray[np.generic]:
        return np.lib.format.open_memmap(folder / f"{name}_{worker}.npy", "w+", dtype, (groups, *shape))

    frames = array("frames", np.uint8, GROUP, SIZE, SIZE, 4)
    backgrounds = array("backgrounds", np.uint8, SIZE, SIZE, 3)
    keypoints = array("keypoints", np.float32, GROUP, 17, 2)
    start = time.monotonic()
    for g in range(groups):
        b = int(rng.integers(len(bodies.vertices)))
        backgrounds[g] = dress(b)
        yaw, pitch, distance = _yaw(rng), rng.normal() * 0.07, rng.uniform(3.4, 7.0)
        scale = rng.uniform(0.62, 0.98) if rng.random() < 0.6 else np.exp(rng.uniform(np.log(0.35), np.log(1.35)))
        x, y = rng.uniform(-0.2, 0.2, 2)
        y -= max(0.0, scale - 0.9) * rng.uniform(0.3, 1.1)  # of a near person, show the upper half
        roll = rng.normal() * 0.06 if rng.random() < 0.8 else rng.uniform(-1.9, 1.9)
        for k, i in enumerate(rng.choice(bodies.vertices.shape[1], GROUP, replace=False)):
            shift = (x + rng.normal() * 0.04, y + rng.normal() * 0.03)
            clip = place(scale * (1 + rng.normal() * 0.04), roll + rng.normal() * 0.06, *shift) @ camera(
                yaw + rng.normal() * 0.12, pitch, distance
            )
            frames[g, k] = renderer.draw(bodies.vertices[b, i], bodies.normals[b, i], bodies.keypoints[b, i], clip)
            keypoints[g, k] = project(bodies.keypoints[b, i], clip)
        if g % 200 == 199 or g == groups - 1:
            print(
                f"worker {worker}: {g + 1} groups, {(time.monotonic() - start) * 1e3 / (g + 1) / GROUP:.1f} ms a frame",
                flush=True,
            )


def render_test(folder: Path, *, pairs: int, seed: int) -> None:
    """Write test.npz: targets, their keypoints and backgrounds, and one reference for every condition."""
    from export.mannequin.scene import camera, place, project

    rng = np.random.default_rng([seed, 777])
    bodies, renderer, dress = _workshop(folder, "test", rng)
    target, target_points, refs, ref_points, backgrounds = [], [], [], [], []
    for _ in range(pairs):
        b = int(rng.integers(len(bodies.vertices)))
        backgrounds.append(dress(b))
        seen = camera(float(rng.uniform(-0.9, 0.9)), rng.normal() * 0.05, rng.uniform(3.4, 7.0))
        i, j = rng.choice(bodies.vertices.shape[1], 2, replace=False)
        scale, side = rng.uniform(0.72, 0.95), rng.choice([-1.0, 1.0])
        clip = place(scale, rng.normal() * 0.05, rng.normal() * 0.06, rng.normal() * 0.05) @ seen
        target.append(renderer.draw(bodies.vertices[b, i], bodies.normals[b, i], bodies.keypoints[b, i], clip))
        target_points.append(project(bodies.keypoints[b, i], clip))
        size, roll, x, y = 1 + rng.normal() * 0.04, rng.normal() * 0.05, rng.normal() * 0.06, rng.normal() * 0.05
        for _, times, degrees in CONDITIONS:
            clip = place(scale * size * times, roll + side * np.radians(degrees), x, y) @ seen
            refs.append(renderer.draw(bodies.vertices[b, j], bodies.normals[b, j], bodies.keypoints[b, j], clip))
            ref_points.append(project(bodies.keypoints[b, j], clip))
    many = (pairs, len(CONDITIONS))
    np.savez(
        folder / "test.npz",
        target=np.stack(target),
        target_keypoints=np.stack(target_points),
        references=np.stack(refs).reshape(*many, SIZE, SIZE, 4),
        reference_keypoints=np.stack(ref_points).reshape(*many, 17, 2),
        backgrounds=np.stack(backgrounds),
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin render", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder for everything made here")
    parser.add_argument("--clips", type=Path, help="folder of humanoid3d_*.txt; default: an installed pybullet_data")
    parser.add_argument("--groups", type=int, default=3200, help="training groups of eight frames, for each worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bodies", type=int, default=72)
    parser.add_argument("--poses", type=int, default=96, help="poses of each body")
    parser.add_argument("--pairs", type=int, default=192, help="test pairs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    os.environ.setdefault("LP_NUM_THREADS", "1")  # the software rasteriser: one thread for each worker
    if not (options.data / "bodies" / "train_keypoints.npy").exists():
        from export.mannequin.bodies import build
        from export.mannequin.motion import find_clips

        clips = find_clips(options.clips)
        build(options.data / "bodies", clips, split="test", bodies=12, poses=40, seed=options.seed + 777)
        build(
            options.data / "bodies",
            clips,
            split="train",
            bodies=options.bodies,
            poses=options.poses,
            seed=options.seed + 1,
        )
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(render_test, options.data, pairs=options.pairs, seed=options.seed)]
        jobs += [
            pool.submit(render_groups, options.data, worker=w, groups=options.groups, seed=options.seed)
            for w in range(options.workers)
        ]
        for job in jobs:
            job.result()
    return 0
