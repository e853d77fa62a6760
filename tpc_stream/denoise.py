"""The denoising loop over windows: r and c_i side by side (section 4.3), propagated in groups (section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from tpc_stream.bundle import Bundle
from tpc_stream.chunk import Chunk, Chunks
from tpc_stream.conditioning import Engines, Span
from tpc_stream.diagonal import diagonal_passes
from tpc_stream.engine import Value
from tpc_stream.frame import CalibratedFrame, Frame, Portrait
from tpc_stream.manifest import Schedule
from tpc_stream.network import Network
from tpc_stream.noise_levels import noise_levels
from tpc_stream.part import WHOLE, Part
from tpc_stream.pose_input import PoseInput
from tpc_stream.relay import PartFrame
from tpc_stream.resident import as_terms, joined, rows, settled
from tpc_stream.window import check_window, crossfade, windows


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseConfig:
    """How frames are denoised."""

    steps: int
    guidance_scale: float
    """1.0: no guidance, one pass a step; otherwise also passes that know less, see `tpc_stream.guidance`."""
    window: int
    """Frames that enter together: a window's, or a chunk's of the diagonal schedule."""
    overlap: int
    """Frames that a window shares with the one before; 0 in the diagonal schedule."""
    group_size: int
    """Consecutive frames that share one calibrated feature at a step; 1: none do."""
    tpc: bool = True
    """Whether the calibrated features stand beside the reference's own."""
    seed: int = 0
    hold_seconds: float = 0.5
    """How long the last pose stands in where nobody is found."""
    schedule: Schedule = "window"
    """window: all frames of a window go from noise to picture together; diagonal: see `tpc_stream.diagonal`."""


@dataclass(frozen=True, slots=True, eq=False)
class DenoisedFrame:
    """A frame that is ready to be decoded."""

    frame: CalibratedFrame
    latents: Value
    """[1, C, h, w]."""
    shown: bool
    """Whether there is a person to show; False where nobody was found for longer than the hold."""
    ends_batch: bool = False
    """Whether it is the last of those that leave together: decode them in one pass."""

    @property
    def index(self) -> int:
        return self.frame.frame.index


@dataclass(frozen=True, slots=True, eq=False)
class ConditionedFrame:
    """A frame whose chunk is ready to be denoised, or waits for later frames of it."""

    frame: CalibratedFrame
    chunk: Chunk | None
    """The chunk that this frame completes; None: a later one does."""
    part: Part = WHOLE

    @property
    def index(self) -> int:
        return self.frame.frame.index


class Denoiser:
    """The denoising in two stages, so that frames are conditioned while those before them pass through the network.

    Args:
        pose_pictures: of a pose video, one for each frame; None: pose pictures are drawn where they are needed.
    """

    def __init__(
        self,
        *,
        bundle: Bundle,
        engines: Engines,
        portrait: Portrait,
        config: DenoiseConfig,
        span: Span,
        pose_pictures: Iterable[Frame] | None = None,
    ) -> None:
        check_window(length=config.window, overlap=config.overlap, group_size=config.group_size)
        self._config, self._manifest, self._pictures = config, bundle.manifest, pose_pictures
        self._network = Network(
            bundle, engines, portrait, guidance_scale=config.guidance_scale, tpc=config.tpc, span=span
        )
        self._chunks = Chunks(
            bundle.manifest,
            self._network,
            levels=noise_levels(bundle.manifest.sampling, steps=config.steps),
            seed=config.seed,
            group_size=config.group_size,
        )

    def condition(self, frames: Iterable[PartFrame]) -> Iterator[ConditionedFrame]:
        """Cuts each part into chunks, and gives each its noise, poses and calibrated pictures; one out for each frame
        that is denoised. A part knows nothing of the parts before it, so that it is what it would be alone."""
        for part, items in groupby(frames, key=lambda item: item.part):
            self._network.forget_calibrated()
            yield from self._conditioned(part, (item.item for item in items))

    def _conditioned(self, part: Part, frames: Iterable[CalibratedFrame]) -> Iterator[ConditionedFrame]:
        config = self._config
        poses = PoseInput(self._manifest, hold_seconds=config.hold_seconds, pictures=self._pictures)
        denoised = (item for item in poses.watch(frames) if item.frame.index in part.denoised)
        for window in windows(denoised, length=config.window, overlap=config.overlap):
            told, shown = poses.inputs(window)
            chunk = self._chunks.begin(window, told=told, shown=shown)
            *earlier, last = window.frames[window.carried :]
            for frame in earlier:
                yield ConditionedFrame(frame, None, part)
            yield ConditionedFrame(last, chunk, part)

    def denoise(self, frames: Iterable[ConditionedFrame]) -> Iterator[DenoisedFrame]:
        """Takes the chunks through their steps; frames leave, in order, as soon as nothing later touches them."""
        for part, items in groupby(frames, key=lambda item: item.part):
            begun = (item.chunk for item in items if item.chunk is not None)
            for batch in self._batches(begun):
                leaving = [item for item in batch if item.index in part.shown]
                for k, item in enumerate(leaving):
                    yield replace(item, ends_batch=k == len(leaving) - 1)

    def _batches(self, begun: Iterable[Chunk]) -> Iterator[list[DenoisedFrame]]:
        """Those that leave together."""
        if self._config.schedule == "diagonal":
            for chunk in diagonal_passes(begun, self._chunks, self._network):
                yield _denoised(chunk, chunk.latents)
        else:
            yield from self._windowed(begun)

    def _windowed(self, begun: Iterable[Chunk]) -> Iterator[list[DenoisedFrame]]:
        """Window by window, each through all steps at once; what two windows share is blended."""
        chunks, held = self._chunks, list[DenoisedFrame]()
        for chunk in begun:
            while not chunks.done(chunk):
                output = self._network.predict(
                    chunk.latents,
                    pose=chunks.pose(chunk),
                    calibrated=chunk.calibrated,
                    uses=chunks.uses(chunk),
                    timestep=chunks.timestep(chunk),
                )
                chunk = chunks.moved(chunk, output)
            latents, carried = chunk.latents, chunk.carried
            if held:
                before, after = joined([item.latents for item in held]), rows(latents, 0, carried)
                blended = settled(crossfade(as_terms(before), as_terms(after)))
                latents = joined([blended, rows(latents, carried, len(latents))])
            leaving = max(len(chunk.frames) - self._config.overlap, 0)
            made = _denoised(chunk, latents)
            yield made[:leaving]
            held = made[leaving:]
        yield held


def denoise(
    frames: Iterable[CalibratedFrame],
    *,
    bundle: Bundle,
    engines: Engines,
    portrait: Portrait,
    config: DenoiseConfig,
    span: Span,
    pose_pictures: Iterable[Frame] | None = None,
) -> Iterator[DenoisedFrame]:
    """Both stages of a `Denoiser`, one after the other in the caller's thread."""
    denoiser = Denoiser(
        bundle=bundle, engines=engines, portrait=portrait, config=config, span=span, pose_pictures=pose_pictures
    )
    yield from denoiser.denoise(denoiser.condition(PartFrame(WHOLE, frame) for frame in frames))


def _denoised(chunk: Chunk, latents: Value) -> list[DenoisedFrame]:
    return [
        DenoisedFrame(frame, rows(latents, k, k + 1), shown)
        for k, (frame, shown) in enumerate(zip(chunk.frames, chunk.shown, strict=True))
    ]
