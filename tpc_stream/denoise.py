"""The denoising loop over windows: r and c_i side by side (section 4.3), propagated in groups (section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tpc_stream.bundle import Bundle
from tpc_stream.conditioning import Conditioner, Encoded, Engines, Features, Span, timesteps_like
from tpc_stream.engine import Array, require_finite
from tpc_stream.frame import Body, CalibratedFrame, Portrait
from tpc_stream.noise import frame_noise
from tpc_stream.noise_levels import noise_levels
from tpc_stream.propagation import draw_window
from tpc_stream.sampler import ddim_step, guide
from tpc_stream.window import Window, check_window, crossfade, windows


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseConfig:
    """How frames are denoised."""

    steps: int
    guidance_scale: float
    """1.0: no guidance, one pass a step; otherwise a second, unconditional pass."""
    window: int
    """Frames."""
    overlap: int
    """Frames that a window shares with the one before."""
    group_size: int
    """Consecutive frames that share one calibrated feature at a step; 1: none do."""
    tpc: bool = True
    """Whether the calibrated features stand beside the reference's own."""
    seed: int = 0
    hold_seconds: float = 0.5
    """How long the last pose stands in where nobody is found."""


@dataclass(frozen=True, slots=True, eq=False)
class DenoisedFrame:
    """A frame that is ready to be decoded."""

    frame: CalibratedFrame
    latents: NDArray[np.float32]
    """[C, h, w]."""
    shown: bool
    """Whether there is a person to show; False where nobody was found for longer than the hold."""
    ends_batch: bool
    """Whether it is the last of those that leave together: decode them in one pass."""

    @property
    def index(self) -> int:
        return self.frame.frame.index


def denoise(
    frames: Iterable[CalibratedFrame],
    *,
    bundle: Bundle,
    engines: Engines,
    portrait: Portrait,
    config: DenoiseConfig,
    span: Span,
) -> Iterator[DenoisedFrame]:
    """Denoises the stream window by window; frames leave as soon as no later window touches them."""
    check_window(length=config.window, overlap=config.overlap, group_size=config.group_size)
    loop = _Loop(bundle, engines, portrait, config, span)
    held: list[DenoisedFrame] = []
    for window in windows(frames, length=config.window, overlap=config.overlap):
        latents, shown = loop.run(window)
        if held:
            latents[: window.carried] = crossfade(np.stack([item.latents for item in held]), latents[: window.carried])
        leaving = len(window.frames) - config.overlap
        made = [
            DenoisedFrame(frame, latents[k], shown[k], ends_batch=k == leaving - 1)
            for k, frame in enumerate(window.frames)
        ]
        yield from made[: max(leaving, 0)]
        held = made[max(leaving, 0) :]
    for k, item in enumerate(held):
        yield DenoisedFrame(item.frame, item.latents, item.shown, ends_batch=k == len(held) - 1)


class _Loop:
    """What stays the same from window to window, and the few features that the next window needs again."""

    def __init__(self, bundle: Bundle, engines: Engines, portrait: Portrait, config: DenoiseConfig, span: Span) -> None:
        self._bundle, self._engines, self._config, self._span = bundle, engines, config, span
        self._levels = noise_levels(bundle.manifest.sampling, steps=config.steps)
        self._conditioner = Conditioner(bundle, engines, portrait, span=span)
        self._reference = self._conditioner.reference()
        self._static_reference: Features | None = None
        if not self._conditioner.follows_timestep:
            self._static_reference = self._conditioner.features([self._reference], timestep=0.0)
        self._encoded: dict[int, Encoded] = {}
        self._static: dict[int, Features] = {}
        self._poses = _PoseHold(config.hold_seconds)

    def run(self, window: Window) -> tuple[NDArray[np.float32], tuple[bool, ...]]:
        """[F, C, h, w] denoised latents, and per frame whether there is a person to show."""
        config, levels = self._config, self._levels
        manifest = self._bundle.manifest
        keypoints, shown = self._poses.keypoints(window)
        with self._span("pose"):
            pose = self._engines["pose"]({"keypoints": keypoints})
        draws = draw_window(
            window.index, len(window.frames), steps=config.steps, seed=config.seed, group_size=config.group_size
        )
        self._calibrate(window, draws.drawn if config.tpc else ())
        latents = frame_noise(
            window.indices, seed=config.seed, shape=manifest.latent_shape, period=manifest.window.noise_period
        )
        latents = (levels.sigmas[0] * latents).astype(np.float32)
        for step, timestep in enumerate(levels.timesteps):
            reference, calibrated = self._features(draws.drawn, float(timestep))
            gather = draws.gather[step] if config.tpc else np.zeros(len(latents), dtype=np.int64)
            output = self._pass(latents, pose, reference, calibrated, gather, float(timestep))
            if config.guidance_scale != 1.0:
                none = self._conditioner.no_features()
                zeros = np.zeros(len(latents), dtype=np.int64)
                unconditional = self._pass(latents, pose, none, none, zeros, float(timestep))
                output = guide(unconditional, output, scale=config.guidance_scale)
            latents = ddim_step(
                output,
                latents,
                alpha=np.float32(levels.alphas[step]),
                sigma=np.float32(levels.sigmas[step]),
                next_alpha=np.float32(levels.next_alphas[step]),
                next_sigma=np.float32(levels.next_sigmas[step]),
                prediction=manifest.sampling.prediction,
            )
        return latents, shown

    def _calibrate(self, window: Window, drawn: tuple[int, ...]) -> None:
        """Encodes the drawn calibrated pictures; those that the window before had already are kept."""
        by_index = {frame.frame.index: frame for frame in window.frames}
        new = [index for index in drawn if index not in self._encoded]
        encoded = {k: self._conditioner.calibrated(by_index[k].calibration.transform) for k in new}
        self._encoded = {k: v for k, v in self._encoded.items() if k in by_index} | encoded
        if not self._conditioner.follows_timestep and drawn:
            self._static = {k: v for k, v in self._static.items() if k in by_index}
            if new:
                written = self._conditioner.features([encoded[k] for k in new], timestep=0.0)
                for row, k in enumerate(new):
                    self._static[k] = tuple(array[row : row + 1] for array in written)

    def _features(self, drawn: tuple[int, ...], timestep: float) -> tuple[Features, Features]:
        reference = self._static_reference
        if reference is None:
            reference = self._conditioner.features([self._reference], timestep=timestep)
        if not self._config.tpc:
            return reference, self._conditioner.no_features()
        if self._conditioner.follows_timestep:
            return reference, self._conditioner.features([self._encoded[k] for k in drawn], timestep=timestep)
        rows = [self._static[k] for k in drawn]
        return reference, tuple(np.concatenate(arrays) for arrays in zip(*rows, strict=True))

    def _pass(
        self,
        latents: Array,
        pose: dict[str, Array],
        reference: Features,
        calibrated: Features,
        gather: Array,
        timestep: float,
    ) -> NDArray[np.float32]:
        graph = self._bundle.manifest.graphs["denoise"]
        inputs: dict[str, Array] = {"latents": latents, "calibrated_index": gather, **pose}
        if "timesteps" in graph.input_names:
            inputs["timesteps"] = timesteps_like(self._bundle, "denoise", timestep, len(latents))
        inputs |= {f"reference_{k:02d}": array for k, array in enumerate(reference)}
        inputs |= {f"calibrated_{k:02d}": array for k, array in enumerate(calibrated)}
        with self._span("network"):
            output = self._engines["denoise"](inputs)["output"]
        require_finite(output, graph="denoise", what="output")
        return output


class _PoseHold:
    """The pose that the network is told; where nobody is found, the last one for a bounded time."""

    def __init__(self, hold_seconds: float) -> None:
        self._hold = Fraction(hold_seconds).limit_denominator(1_000_000)  # 0.3 means 3/10, exactly
        self._seen: dict[int, tuple[Body, Fraction]] = {}

    def keypoints(self, window: Window) -> tuple[Array, tuple[bool, ...]]:
        """[F, 17, 3]: x / width, y / height, visibility; and per frame whether there is a person."""
        height, width = window.frames[0].frame.image.shape[:2]
        points = np.zeros((len(window.frames), 17, 3), dtype=np.float32)
        shown = []
        for row, item in enumerate(window.frames):
            # a pure function of the frames before it, also for frames that two windows share
            if item.body is not None:
                self._seen[item.frame.index] = item.body, item.frame.pts_seconds
            last = self._seen.get(max((k for k in self._seen if k <= item.frame.index), default=-1))
            present = last is not None and item.frame.pts_seconds - last[1] <= self._hold
            shown.append(present)
            if last is not None and present:
                points[row, :, 0] = last[0].keypoints[:, 0] / width
                points[row, :, 1] = last[0].keypoints[:, 1] / height
                points[row, :, 2] = last[0].visibility
        # windows overlap: the next one begins after this one's start, and may need what was seen before it
        before = max((k for k in self._seen if k <= window.index), default=-1)
        self._seen = {k: v for k, v in self._seen.items() if k >= before}
        return points, tuple(shown)
