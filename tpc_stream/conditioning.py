"""How the reference and its calibrated copies become the features r and c_i that the denoiser attends to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.bundle import Bundle
from tpc_stream.engine import Array, Engine, require_finite
from tpc_stream.frame import Portrait, Similarity
from tpc_stream.manifest import Role
from tpc_stream.procrustes import screened, warp

Engines = Mapping[Role, Engine]
Features = tuple[Array, ...]
"""[N, tokens, channels] each, in the order of the feature graph's outputs."""
Span = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One picture of the person, in every form that a feature graph may ask for."""

    arrays: Mapping[str, Array]
    """images [1, 3, H, W] in [-1, 1], mattes [1, 1, H, W] in [0, 1], latents [1, C, h, w]; those that are needed."""


class Conditioner:
    """Encodes pictures of the person and writes features, with the engines of one bundle."""

    def __init__(self, bundle: Bundle, engines: Engines, portrait: Portrait, *, span: Span) -> None:
        self._bundle = bundle
        self._engines = engines
        self._portrait = portrait
        self._span = span
        self._graph = bundle.feature_graph

    @property
    def follows_timestep(self) -> bool:
        """Whether features must be written anew at every denoising step."""
        return "timesteps" in self._graph.input_names

    def reference(self) -> Encoded:
        """The reference as it is, or without its background where the bundle was trained so."""
        image, mask = self._portrait.image, self._portrait.mask
        return self._encode(screened(image, mask) if self._bundle.manifest.conditioning.screened else image, mask)

    def calibrated(self, transform: Similarity) -> Encoded:
        """C_i: the person of the reference, background screened out, laid onto a frame's person (section 4.1)."""
        with self._span("warp"):
            height, width = self._portrait.mask.shape
            image, mask = warp(self._portrait.image, self._portrait.mask, transform, width=width, height=height)
        return self._encode(image, mask)

    def features(self, encoded: Sequence[Encoded], *, timestep: float) -> Features:
        """[N, tokens, channels] arrays for N pictures, one pass."""
        inputs = {name: np.concatenate([e.arrays[name] for e in encoded]) for name in encoded[0].arrays}
        inputs = {name: array for name, array in inputs.items() if name in self._graph.input_names}
        if self.follows_timestep:
            inputs["timesteps"] = timesteps_like(self._bundle, self._graph.role, timestep, len(encoded))
        with self._span("features"):
            outputs = self._engines[self._graph.role](inputs)
        features = tuple(outputs[name] for name in self._graph.output_names)
        for name, array in zip(self._graph.output_names, features, strict=True):
            require_finite(array, graph=self._graph.role, what=name)
        return features

    def no_features(self) -> Features:
        """Features of no picture: zero tokens, so that attention sees only the frame itself."""
        return tuple(
            np.zeros((1, 0, *(n if isinstance(n, int) else 0 for n in tensor.shape[2:])), dtype=tensor.dtype)
            for tensor in self._graph.outputs
        )

    def _encode(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Encoded:
        width, height = self._bundle.manifest.width, self._bundle.manifest.height
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        matte = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        arrays: dict[str, Array] = {
            "images": (small.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None],
            "mattes": (matte.astype(np.float32) / 255)[None, None],
        }
        if "latents" in self._graph.input_names:
            graph = self._bundle.manifest.graphs["encode"]
            with self._span("encode"):
                outputs = self._engines["encode"]({name: arrays[name] for name in graph.input_names})
            require_finite(outputs["latents"], graph="encode", what="latents")
            arrays["latents"] = outputs["latents"]
        return Encoded(arrays)


def timesteps_like(bundle: Bundle, role: Role, timestep: float, count: int) -> Array:
    """[count] equal timesteps in the dtype that the graph asks for."""
    graph = bundle.manifest.graphs[role]
    dtype = next(tensor.dtype for tensor in graph.inputs if tensor.name == "timesteps")
    return np.full(count, timestep).astype(dtype)
