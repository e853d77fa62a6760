"""How the reference and its calibrated copies become the features r and c_i that the denoiser attends to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.bundle import Bundle
from tpc_stream.engine import Array, Engine, Value, run
from tpc_stream.frame import Portrait, Transform
from tpc_stream.graph_roles import has_context, unconditional_outputs
from tpc_stream.manifest import Role
from tpc_stream.plate import background_plate
from tpc_stream.preprocess import encoder_pixels
from tpc_stream.resident import joined, on_host, zeros_like
from tpc_stream.warp import Warper, screened

Engines = Mapping[Role, Engine]
Features = tuple[Value, ...]
"""[N, tokens, channels] each, in the order of the feature graph's outputs."""
Span = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One picture of the person, in every form that a feature graph may ask for."""

    arrays: Mapping[str, Value]
    """images [1, 3, H, W] in [-1, 1], mattes [1, 1, H, W] in [0, 1], pixels [1, 3, S, S], latents [1, C, h, w]; those
    that are needed."""


class Conditioner:
    """Encodes pictures of the person and writes features, with the engines of one bundle."""

    def __init__(self, bundle: Bundle, engines: Engines, portrait: Portrait, *, span: Span) -> None:
        self._bundle = bundle
        self._engines = engines
        self._portrait = portrait
        self._span = span
        self._graph = bundle.feature_graph
        self._encoded_reference: Encoded | None = None
        self._context: Value | None = None
        self._start: Array | None = None
        self._warper = Warper.of_person(portrait.image, portrait.mask)

    @property
    def follows_timestep(self) -> bool:
        """Whether features must be written anew at every denoising step."""
        return "timesteps" in self._graph.input_names

    def prepare(self) -> None:
        """Encodes the reference now; afterwards threads only read it."""
        _ = self.reference(), self.context
        if self._bundle.manifest.sampling.start == "reference":
            self._start = on_host(self.reference().arrays["latents"])

    def reference(self) -> Encoded:
        """The reference as it is, or without its background where the bundle was trained so."""
        if self._encoded_reference is None:
            manifest, image, mask = self._bundle.manifest, self._portrait.image, self._portrait.mask
            names = self._graph.input_names
            if has_context(manifest):
                names = names | manifest.graphs["tokens"].input_names
            if manifest.sampling.start == "reference":
                names = names | {"latents"}
            shown = screened(image, mask) if manifest.conditioning.screened else image
            self._encoded_reference = self._encode(shown, mask, names)
        return self._encoded_reference

    @property
    def context(self) -> Value | None:
        """[1, T, C] the reference as an image encoder beside the reference network sees it; None without one."""
        if self._context is None and has_context(self._bundle.manifest):
            graph = self._bundle.manifest.graphs["tokens"]
            arrays = self.reference().arrays
            inputs = {name: arrays[name] for name in graph.input_names}
            with self._span("tokens"):
                self._context = run(self._engines["tokens"], inputs, graph="tokens")["context"]
        return self._context

    @property
    def start_latents(self) -> Array:
        """[1, C, h, w] the reference's latents, where denoising starts from them; fetched once, by `prepare`."""
        if self._start is None:
            raise ValueError("denoising does not start from the reference, or nothing is prepared yet")
        return self._start

    def background_latents(self) -> Value:
        """[1, C, h, w] of the reference without its person: mid grey where it stood, or painted over."""
        image, mask = self._portrait.image, self._portrait.mask
        if self._bundle.manifest.conditioning.background == "painted":
            image = background_plate(image, mask)
        else:
            image = screened(image, np.asarray(255 - mask, dtype=np.uint8))
        return self._encode(image, mask, frozenset({"latents"})).arrays["latents"]

    def calibrated(self, transform: Transform) -> Encoded:
        """C_i: the person of the reference, background screened out, laid onto a frame's person (section 4.1)."""
        with self._span("warp"):
            height, width = self._portrait.mask.shape
            image, mask = self._warper.warp_person(transform, width=width, height=height)
        return self._encode(image, mask, self._graph.input_names)

    def features(self, encoded: Sequence[Encoded], *, timestep: float) -> Features:
        """[N, tokens, channels] arrays for N pictures, one pass."""
        outputs = self._write(encoded, timestep)
        return tuple(outputs[tensor.name] for tensor in self._bundle.features)

    def reference_features(self, *, timestep: float) -> tuple[Features, Features]:
        """r, and what stands in its place where guidance leaves the reference out."""
        outputs = self._write([self.reference()], timestep)
        features = tuple(outputs[tensor.name] for tensor in self._bundle.features)
        match self._bundle.manifest.guidance.unconditional:
            case "no_tokens":
                return features, self.no_features()
            case "zeros":
                return features, tuple(zeros_like(array) for array in features)
            case "written":
                return features, tuple(outputs[tensor.name] for tensor in unconditional_outputs(self._graph))

    def _write(self, encoded: Sequence[Encoded], timestep: float) -> dict[str, Value]:
        names = self._graph.input_names
        inputs = {name: joined([e.arrays[name] for e in encoded]) for name in encoded[0].arrays if name in names}
        if self.follows_timestep:
            inputs["timesteps"] = timesteps_like(self._bundle, self._graph.role, timestep, len(encoded))
        if "context" in names and self.context is not None:
            inputs["context"] = self.context
        with self._span("features"):
            return run(self._engines[self._graph.role], inputs, graph=self._graph.role)

    def no_features(self) -> Features:
        """Features of no picture: zero tokens, so that attention sees only the frame itself."""
        return tuple(
            np.zeros((1, 0, *(n if isinstance(n, int) else 0 for n in tensor.shape[2:])), dtype=tensor.dtype)
            for tensor in self._bundle.features
        )

    def _encode(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], names: frozenset[str]) -> Encoded:
        manifest = self._bundle.manifest
        size = manifest.width, manifest.height
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        matte = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        arrays: dict[str, Value] = {
            "images": (small.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None],
            "mattes": (matte.astype(np.float32) / 255)[None, None],
        }
        if "pixels" in names and manifest.pixels is not None:
            arrays["pixels"] = encoder_pixels(image, manifest.pixels, mask=mask)
        if "latents" in names:
            inputs = {name: arrays[name] for name in manifest.graphs["encode"].input_names}
            with self._span("encode"):
                arrays["latents"] = run(self._engines["encode"], inputs, graph="encode")["latents"]
        return Encoded(arrays)


def timesteps_like(bundle: Bundle, role: Role, timestep: float | Array, count: int) -> Array:
    """[count] timesteps in the dtype that the graph asks for: all equal, or given as [count]."""
    graph = bundle.manifest.graphs[role]
    dtype = next(tensor.dtype for tensor in graph.inputs if tensor.name == "timesteps")
    return np.full(count, timestep).astype(dtype)
