"""A system without networks: a manifest of any vocabulary, and engines that remember what they were given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.synthetic import portrait
from tpc_stream.bundle import Bundle
from tpc_stream.denoise import DenoiseConfig, DenoisedFrame, denoise
from tpc_stream.engine import Array
from tpc_stream.frame import CalibratedFrame
from tpc_stream.graph_roles import check_roles
from tpc_stream.manifest import ConditioningSpec, GraphSpec, Manifest, Role, SamplingSpec, TensorSpec, WindowSpec

SIZE, CELL = 32, 4
Shape = tuple[int | str, ...]
PICTURE: Shape = ("N", 3, SIZE, SIZE)
LATENT: Shape = ("N", 4, CELL, CELL)


@dataclass
class Fake:
    """An engine: a function that remembers its calls."""

    answer: Callable[[Mapping[str, Array]], dict[str, Array]]
    calls: list[dict[str, Array]] = field(default_factory=list)

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.calls.append({name: array.copy() for name, array in inputs.items()})
        return self.answer(inputs)

    def close(self) -> None:
        pass


def graph(role: Role, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> GraphSpec:
    def specs(shapes: dict[str, Shape]) -> tuple[TensorSpec, ...]:
        kinds = {"calibrated_index": "int64"}
        return tuple(TensorSpec(name, kinds.get(name, "float32"), shape) for name, shape in shapes.items())

    return GraphSpec(role, Path(f"{role}.onnx"), "", specs(inputs), specs(outputs))


class MadeUp:
    """A bank system with one feature, which follows nothing; `adapt` it to what a test is about."""

    def __init__(self, **tables: Any) -> None:
        self.graphs: dict[Role, GraphSpec] = {
            "encode": graph("encode", {"images": PICTURE}, {"latents": LATENT}),
            "decode": graph("decode", {"latents": LATENT}, {"images": PICTURE}),
            "reference": graph("reference", {"latents": LATENT}, {"bank_00": ("N", 16, 4)}),
            "pose": graph("pose", {"keypoints": ("F", 17, 3)}, {"pose_features": ("F", 1, CELL, CELL)}),
            "denoise": graph(
                "denoise",
                {
                    "latents": LATENT, "timesteps": ("F",), "pose_features": ("F", 1, CELL, CELL),
                    "reference_00": (1, "R", 4), "calibrated_00": ("U", "K", 4), "calibrated_index": ("F",),
                },
                {"output": LATENT},
            ),
        }  # fmt: skip
        self.tables = tables

    def add_inputs(self, role: Role, **inputs: Shape) -> None:
        old = self.graphs[role]
        self.graphs[role] = replace(old, inputs=(*old.inputs, *graph(role, inputs, {}).inputs))

    def remove_input(self, role: Role, name: str) -> None:
        old = self.graphs[role]
        self.graphs[role] = replace(old, inputs=tuple(tensor for tensor in old.inputs if tensor.name != name))

    @property
    def manifest(self) -> Manifest:
        defaults: dict[str, Any] = {
            "window": WindowSpec(8, 0, 64, temporal=False, noise_period=0),
            "sampling": SamplingSpec("ddim", "epsilon", 3, 1.0),
            "conditioning": ConditioningSpec("bank", screened=False),
        }
        tables: dict[str, Any] = defaults | self.tables
        return Manifest(
            name="made-up", version="1", licence="", origin="", width=SIZE, height=SIZE, latent_channels=4,
            latent_downscale=SIZE // CELL, graphs=self.graphs, **tables,
        )  # fmt: skip

    def run(
        self, frames: list[CalibratedFrame], *, pose_pictures: Any = None, **choices: Any
    ) -> tuple[list[DenoisedFrame], dict[Role, Fake]]:
        """Checks the manifest, then denoises the frames."""
        manifest = self.manifest
        check_roles(manifest, Path("made-up"))
        engines = {role: Fake(ANSWERS.get(role, _nothing)) for role in self.graphs}
        for role, fake in engines.items():
            fake.answer = _for(self.graphs[role], ANSWERS.get(role, _nothing))
        defaults: dict[str, Any] = {"steps": 3, "guidance_scale": 1.0, "window": 8, "overlap": 0, "group_size": 4}
        done = denoise(
            iter(frames), bundle=Bundle(Path("made-up"), manifest), engines=engines, portrait=portrait(),
            config=DenoiseConfig(**(defaults | choices)), span=lambda name: nullcontext(), pose_pictures=pose_pictures,
        )  # fmt: skip
        return list(done), engines


def _nothing(inputs: Mapping[str, Array]) -> dict[str, Array]:
    return {}


def _cells(images: Array) -> Array:
    """[N, 4, h, w]: means of RGB, and of all."""
    n = len(images)
    small = images.reshape(n, 3, CELL, SIZE // CELL, CELL, SIZE // CELL).mean(axis=(3, 5))
    return np.concatenate([small, small.mean(axis=1, keepdims=True)], axis=1).astype(np.float32)


def _denoised(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Something that depends on everything that was given."""
    total = 0.1 * inputs["latents"] + 1e-4 * inputs["timesteps"].reshape(-1, 1, 1, 1)
    for name, array in inputs.items():
        if name not in ("latents", "timesteps", "calibrated_index"):
            total = total + np.float32(array.mean() if array.size else 0.0)
    return {"output": total.astype(np.float32)}


ANSWERS: dict[Role, Callable[[Mapping[str, Array]], dict[str, Array]]] = {
    "encode": lambda inputs: {"latents": _cells(inputs["images"])},
    "denoise": _denoised,
}


def _for(
    spec: GraphSpec, known: Callable[[Mapping[str, Array]], dict[str, Array]]
) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Every other output is filled with the mean of the inputs, picture by picture; constants with 7."""

    def answer(inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert set(inputs) == set(spec.input_names), (spec.role, sorted(inputs), sorted(spec.input_names))
        outputs = known(inputs)
        first = next(iter(inputs.values()))
        for tensor in spec.outputs:
            if tensor.name in outputs:
                continue
            rest = tuple(int(n) for n in tensor.shape[1:])
            if tensor.shape[0] == 1:
                outputs[tensor.name] = np.full((1, *rest), 7, np.float32)
                continue
            means = np.array([np.float32(first[k].mean()) for k in range(len(first))]) + 1
            outputs[tensor.name] = np.broadcast_to(means.reshape(-1, *[1] * len(rest)), (len(first), *rest)).astype(
                np.float32
            )
        return outputs

    return answer
