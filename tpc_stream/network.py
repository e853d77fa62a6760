"""A bundle's graphs on the frames that are being denoised: pose, features, and one guided prediction after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.bundle import Bundle
from tpc_stream.conditioning import Conditioner, Encoded, Engines, Features, Span, timesteps_like
from tpc_stream.engine import Array, Value, placed, run
from tpc_stream.frame import CalibratedFrame, Portrait
from tpc_stream.guidance import Pass, guidance_passes, guided
from tpc_stream.resident import as_terms, joined, rows, settled, zeros_like


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedPicture:
    """C_i of a drawn frame, as the networks see it."""

    encoded: Encoded
    features: Features = ()
    """c_i, [1, tokens, channels] each; empty where features follow the timestep and are written at every step."""


class Network:
    """r is written once, c_i once for every drawn frame, as long as neither follows the timestep (section 4.3).

    Frames may be conditioned (`pose`, `calibrated`) in one thread while others are denoised (`predict`) in another.

    Args:
        guidance_scale: 1.0: none, one pass a prediction.
        tpc: whether c_i stands beside r.
    """

    def __init__(
        self, bundle: Bundle, engines: Engines, portrait: Portrait, *, guidance_scale: float, tpc: bool, span: Span
    ) -> None:
        self._bundle, self._engines, self._tpc, self._span = bundle, engines, tpc, span
        self._passes = guidance_passes(bundle.manifest.guidance, scale=guidance_scale)
        self._conditioner = Conditioner(bundle, engines, portrait, span=span)
        self._conditioner.prepare()
        self._static_reference: tuple[Features, Features] | None = None
        if not self._conditioner.follows_timestep:
            self._static_reference = self._conditioner.reference_features(timestep=0.0)
        self._background: dict[str, Value] = {}
        if "background_latents" in bundle.manifest.graphs["denoise"].input_names:
            self._background["background_latents"] = self._conditioner.background_latents()
        self._kept: dict[int, CalibratedPicture] = {}

    @property
    def start_latents(self) -> Array:
        """[1, C, h, w] the reference's latents, for bundles that start from them."""
        return self._conditioner.start_latents

    @property
    def pose_follows_timestep(self) -> bool:
        """Whether the pose graph looks at the latents, and is to be run at every step."""
        return bool({"latents", "timesteps"} & self._bundle.manifest.graphs["pose"].input_names)

    def placed(self, array: Value) -> Value:
        """The array where the networks are, for what more than one pass reads."""
        return placed(self._engines["denoise"], array)

    def pose(self, told: Mapping[str, Value], latents: Value, timestep: float | Array) -> dict[str, Value]:
        """What the pose graph writes of F frames: `told` as drawn, latents [F, C, h, w], one timestep or [F]."""
        names = self._bundle.manifest.graphs["pose"].input_names
        inputs: dict[str, Value] = dict(told)
        if "latents" in names:
            inputs["latents"] = latents
        if "timesteps" in names:
            inputs["timesteps"] = timesteps_like(self._bundle, "pose", timestep, len(latents))
        if "context" in names and self._conditioner.context is not None:
            inputs["context"] = self._conditioner.context
        with self._span("pose"):
            return run(self._engines["pose"], inputs, graph="pose")

    def calibrated(
        self, frames: Mapping[int, CalibratedFrame], drawn: tuple[int, ...]
    ) -> Mapping[int, CalibratedPicture]:
        """The calibrated pictures of the frames `drawn`; those of `frames` are kept for the next call, no others."""
        if not self._tpc:
            return {}
        kept = {k: v for k, v in self._kept.items() if k in frames}
        new = [index for index in drawn if index not in kept]
        encoded = [self._conditioner.calibrated(frames[k].calibration.transform) for k in new]
        if new and not self._conditioner.follows_timestep:
            written = self._conditioner.features(encoded, timestep=0.0)
            for row, k in enumerate(new):
                kept[k] = CalibratedPicture(encoded[row], tuple(rows(array, row, row + 1) for array in written))
        else:
            kept |= {k: CalibratedPicture(picture) for k, picture in zip(new, encoded, strict=True)}
        self._kept = kept
        return {k: kept[k] for k in drawn}

    def forget_calibrated(self) -> None:
        """What `calibrated` kept: the next frames are those of another part."""
        self._kept = {}

    def predict(
        self,
        latents: Value,
        *,
        pose: Mapping[str, Value],
        calibrated: Mapping[int, CalibratedPicture],
        uses: NDArray[np.int64],
        timestep: float | Array,
    ) -> Value:
        """[F, C, h, w] the guided output for latents [F, C, h, w].

        `uses` [F]: the frame whose calibrated features each frame uses, one of `calibrated`. A timestep for each frame,
        [F], is for bundles whose features do not follow it.
        """
        drawn, gather = np.unique(uses, return_inverse=True)
        reference, none, written = self._features([calibrated[int(k)] for k in drawn] if self._tpc else [], timestep)
        index = gather.astype(np.int64) if self._tpc else np.zeros(len(latents), dtype=np.int64)
        outputs = []
        for item in self._passes:
            features = (reference, written, index)
            if not item.reference:
                features = (none, self._conditioner.no_features(), np.zeros_like(index))
            outputs.append(self._pass(item, latents, pose, *features, timestep))
        return settled(guided([as_terms(output) for output in outputs], self._passes))

    def _features(
        self, pictures: Sequence[CalibratedPicture], timestep: float | Array
    ) -> tuple[Features, Features, Features]:
        """r, what stands for no r, and c_i of the drawn frames' pictures."""
        if self._static_reference is not None:
            reference, none = self._static_reference
        else:
            reference, none = self._conditioner.reference_features(timestep=_one(timestep))
        if not self._tpc:
            return reference, none, self._conditioner.no_features()
        if self._conditioner.follows_timestep:
            written = self._conditioner.features([p.encoded for p in pictures], timestep=_one(timestep))
            return reference, none, written
        by_feature = zip(*(picture.features for picture in pictures), strict=True)
        return reference, none, tuple(joined(arrays) for arrays in by_feature)

    def _pass(
        self,
        item: Pass,
        latents: Value,
        pose: Mapping[str, Value],
        reference: Features,
        calibrated: Features,
        gather: Array,
        timestep: float | Array,
    ) -> Value:
        graph = self._bundle.manifest.graphs["denoise"]
        inputs: dict[str, Value] = {"latents": latents, "calibrated_index": gather, **self._background}
        inputs |= pose if item.pose else {name: zeros_like(array) for name, array in pose.items()}
        if "timesteps" in graph.input_names:
            inputs["timesteps"] = timesteps_like(self._bundle, "denoise", timestep, len(latents))
        context = self._conditioner.context
        if "context" in graph.input_names and context is not None:
            inputs["context"] = context if item.reference else zeros_like(context)
        inputs |= {f"reference_{k:02d}": array for k, array in enumerate(reference)}
        inputs |= {f"calibrated_{k:02d}": array for k, array in enumerate(calibrated)}
        with self._span("network"):
            return run(self._engines["denoise"], inputs, graph="denoise")["output"]


def _one(timestep: float | Array) -> float:
    levels = np.unique(timestep)
    if len(levels) > 1:
        raise ValueError(f"features that follow the timestep are written at one, got {levels}")
    return float(levels[0])
