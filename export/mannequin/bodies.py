"""Bodies in motion: Anny bodies (Apache-2.0, CC0 shapes) in the poses of the DeepMimic motion clips (MIT).

Skinning is the slow step, so every body is posed once and kept on disk; the renderer draws the result many times.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.mannequin.motion import TEST_CLIPS, TRAIN_CLIPS, hinge, load_clip, mixed_frame, rotation

_CLIP_AXES = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""From the clips' axes (x ahead, y up) to the bodies' (y behind, z up)."""


@dataclass(frozen=True, slots=True)
class PosedBodies:
    """Bodies x poses as the renderer needs them; arrays may be memory maps."""

    vertices: NDArray[np.float16]
    """[bodies, poses, V, 3] metres, x right of the picture, y away from the camera, z up; centred."""
    normals: NDArray[np.int8]
    """[bodies, poses, V, 3] unit normals x 127."""
    keypoints: NDArray[np.float32]
    """[bodies, poses, 17, 3] metres, COCO order."""
    rest: NDArray[np.float32]
    """[bodies, V, 3] metres: the rest pose, in which cloth patterns live."""
    faces: NDArray[np.int32]
    """[T, 3] triangles."""
    bones: NDArray[np.str_]
    """[V] name of the bone that moves the vertex most."""

    @classmethod
    def load(cls, folder: Path, split: str) -> PosedBodies:
        """Memory-map what `build` wrote for split "train" or "test"."""
        parts = {n: np.load(folder / f"{split}_{n}.npy", mmap_mode="r") for n in ("vertices", "normals", "keypoints")}
        rest, faces, bones = (np.load(folder / f"{n}.npy") for n in (f"{split}_rest", "faces", "bones"))
        return cls(**parts, rest=rest, faces=faces, bones=bones)


class Poser:
    """An Anny model that takes motion-clip frames."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anny and warp warn about the missing GPU
            import anny

            self.model = anny.Anny()
            self.regressor = anny.KeypointsRegressor.coco(self.model)
        self.labels: list[str] = list(self.model.bone_labels)
        faces = self.model.faces.numpy().astype(np.int32)
        self.faces = faces if faces.shape[1] == 3 else np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
        heaviest = self.model.vertex_bone_weights.numpy().argmax(1)
        bones = self.model.vertex_bone_indices.numpy()[np.arange(len(heaviest)), heaviest]
        self.bones = np.array([self.labels[b] for b in bones])

    def _joint(self, bone: str) -> str:
        side = bone[-1] if bone.endswith((".L", ".R")) else ""
        for joint, starts in {
            "root": ("root", "pelvis", "spine05", "spine04"),
            "chest": ("spine", "clavicle", "shoulder"),
            "neck": ("neck", "head", "eye"),
        }.items():
            if bone.startswith(starts):
                return joint
        for joint, start in {"hip": "upperleg", "knee": "lowerleg", "shoulder": "upperarm"}.items():
            if bone.startswith(start):
                return joint + side
        return ("ankle" if bone.startswith(("foot", "toe")) else "elbow") + side

    def _joints(self, f: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """World rotation of every joint of a clip frame, in the bodies' axes."""
        world = {"root": rotation(f[4:8])}
        world["chest"] = world["root"] @ rotation(f[8:12])
        world["neck"] = world["chest"] @ rotation(f[12:16])
        for side, leg, arm in (("R", 16, 25), ("L", 30, 39)):
            world["hip" + side] = world["root"] @ rotation(f[leg : leg + 4])
            world["knee" + side] = world["hip" + side] @ hinge(f[leg + 4])
            world["ankle" + side] = world["knee" + side] @ rotation(f[leg + 5 : leg + 9])
            world["shoulder" + side] = world["chest"] @ rotation(f[arm : arm + 4])
            world["elbow" + side] = world["shoulder" + side] @ hinge(f[arm + 4])
        return {k: _CLIP_AXES @ r @ _CLIP_AXES.T for k, r in world.items()}

    def bone_poses(self, rest: NDArray[np.float64], frame: NDArray[np.float64]) -> NDArray[np.float64]:
        """[bones, 4, 4] world orientations for one clip frame; rest: the body's rest bone poses."""
        heads = {label: rest[i, :3, 3] for i, label in enumerate(self.labels)}
        hanging = {}  # the clips' zero pose has all limbs hang straight down, the bodies' rest pose has not
        for side in "LR":
            for joint, first, last in (
                ("hip", "upperleg01", "lowerleg01"),
                ("knee", "lowerleg01", "foot"),
                ("shoulder", "upperarm01", "lowerarm01"),
                ("elbow", "lowerarm01", "wrist"),
            ):
                hanging[joint + side] = _turn_to(heads[f"{last}.{side}"] - heads[f"{first}.{side}"], (0.0, 0.0, -1.0))
        world = self._joints(frame)
        poses = np.tile(np.eye(4), (len(self.labels), 1, 1))
        for i, label in enumerate(self.labels):
            joint = self._joint(label)
            poses[i, :3, :3] = world[joint] @ hanging.get(joint, np.eye(3)) @ rest[i, :3, :3]
        return poses

    def rest(self, phenotype: dict[str, float]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Rest bone poses [bones, 4, 4] and rest vertices [V, 3] of a body."""
        with torch.no_grad():
            out = self.model(phenotype_kwargs=phenotype)
        return out["rest_bone_poses"][0].numpy(), out["rest_vertices"][0].numpy().astype(np.float32)

    def pose(
        self, phenotype: dict[str, float], bone_poses: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vertices [P, V, 3] and COCO keypoints [P, 17, 3] of bone poses [P, bones, 4, 4]; the box is centred."""
        dtype = self.model.template_vertices.dtype
        with torch.no_grad():
            out = self.model(
                pose_parameters=torch.as_tensor(bone_poses, dtype=dtype),
                phenotype_kwargs={k: torch.full((len(bone_poses),), v, dtype=dtype) for k, v in phenotype.items()},
                pose_parameterization="world-orient",
            )
            keypoints = self.regressor(out)[:, :17].numpy()
        vertices = out["vertices"].numpy()
        centre = (vertices.min(1, keepdims=True) + vertices.max(1, keepdims=True)) / 2
        return (vertices - centre).astype(np.float32), (keypoints - centre).astype(np.float32)


def _turn_to(a: NDArray[np.float64], b: tuple[float, float, float]) -> NDArray[np.float64]:
    """The smallest rotation that turns direction a to the unit vector b."""
    a = a / np.linalg.norm(a)
    v, c = np.cross(a, b), float(a @ np.asarray(b))
    k = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    return np.eye(3) + k + k @ k / (1.0 + c)


def vertex_normals(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.int8]:
    """[V, 3] unit normals x 127 of one mesh."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, k], 3), len(vertices)) for k in range(3)], axis=1
    )
    return (normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9) * 127).astype(np.int8)


def random_phenotype(rng: np.random.Generator) -> dict[str, float]:
    """Anny's shape parameters, each in [0, 1]; ages from about eight years up."""
    return {
        "gender": float(rng.random()),
        "age": float(rng.uniform(0.36, 1.0)),
        "height": float(rng.uniform(0.25, 0.85)),
        "weight": float(rng.uniform(0.15, 0.95)),
        "muscle": float(rng.uniform(0.25, 0.85)),
        "proportions": float(rng.uniform(0.25, 0.75)),
    }


def build(folder: Path, clips: Path, *, split: str, bodies: int, poses: int, seed: int) -> None:
    """Pose `bodies` random bodies `poses` times each and write them below folder for `PosedBodies.load`."""
    poser, rng = Poser(), np.random.default_rng(seed)
    sources = [load_clip(clips, n) for n in (TRAIN_CLIPS if split == "train" else TEST_CLIPS)]
    shape = (bodies, poses, len(poser.bones), 3)
    folder.mkdir(parents=True, exist_ok=True)
    vertices = np.lib.format.open_memmap(folder / f"{split}_vertices.npy", "w+", np.float16, shape)
    normals = np.lib.format.open_memmap(folder / f"{split}_normals.npy", "w+", np.int8, shape)
    keypoints, rest = np.zeros((bodies, poses, 17, 3), np.float32), np.zeros((bodies, *shape[2:]), np.float32)
    for b in range(bodies):
        phenotype = random_phenotype(rng)
        rest_poses, rest[b] = poser.rest(phenotype)
        for first in range(0, poses, 16):
            frames = [mixed_frame(rng, sources) for _ in range(min(16, poses - first))]
            posed, points = poser.pose(phenotype, np.stack([poser.bone_poses(rest_poses, f) for f in frames]))
            for k in range(len(frames)):
                vertices[b, first + k] = posed[k]
                normals[b, first + k] = vertex_normals(posed[k], poser.faces)
            keypoints[b, first : first + len(frames)] = points
    for name, array in (("keypoints", keypoints), ("rest", rest)):
        np.save(folder / f"{split}_{name}.npy", array)
    np.save(folder / "faces.npy", poser.faces)
    np.save(folder / "bones.npy", poser.bones)
