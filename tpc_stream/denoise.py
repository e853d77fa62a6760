"""The denoising loop over windows: r and c_i side by side (section 4.3), propagated in groups (section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile

from tpc_stream.bundle import Bundle
from tpc_stream.chunk import Chunk, Chunks
from tpc_stream.conditioning import Engines, Span
from tpc_stream.diagonal import diagonal_passes
from tpc_stream.engine import Value
from tpc_stream.frame import CalibratedFrame, Frame, Portrait
from tpc_stream.manifest import Schedule
from tpc_stream.network import Network
from tpc_stream.noise_levels import noise_levels
from tpc_stream.pose_input import PoseInput
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
    ends_batch: bool
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
        self._config = config
        self._poses = PoseInput(bundle.manifest, hold_seconds=config.hold_seconds, pictures=pose_pictures)
        self._network = Network(
            bundle, engines, portrait, guidance_scale=config.guidance_scale, tpc=config.tpc, span=span
        )
        self._chunks = Chunks(
            bundle.manifest,
            self._network,
            self._poses,
            levels=noise_levels(bundle.manifest.sampling, steps=config.steps),
            seed=config.seed,
            group_size=config.group_size,
        )

    def condition(self, frames: Iterable[CalibratedFrame], *, only: range | None = None) -> Iterator[ConditionedFrame]:
        """Cuts the stream into chunks, and gives each its noise, poses and calibrated pictures; one out for one in.

        only: global indices of the frames that are denoised; poses are held over from those before. None: all.
        """
        config = self._config
        watched = self._poses.watch(frames)
        if only is not None:
            watched = takewhile(lambda item: item.frame.index < only.stop, watched)
            watched = dropwhile(lambda item: item.frame.index < only.start, watched)
        for window in windows(watched, length=config.window, overlap=config.overlap):
            chunk = self._chunks.begin(window)
            *earlier, last = window.frames[window.carried :]
            for frame in earlier:
                yield ConditionedFrame(frame, None)
            yield ConditionedFrame(last, chunk)

    def denoise(self, frames: Iterable[ConditionedFrame]) -> Iterator[DenoisedFrame]:
        """Takes the chunks through their steps; frames leave, in order, as soon as nothing later touches them."""
        begun = (item.chunk for item in frames if item.chunk is not None)
        if self._config.schedule == "diagonal":
            for chunk in diagonal_passes(begun, self._chunks, self._network):
                yield from _leaving(chunk, chunk.latents, len(chunk.frames))
        else:
            yield from self._windowed(begun)

    def _windowed(self, begun: Iterable[Chunk]) -> Iterator[DenoisedFrame]:
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
            made = list(_leaving(chunk, latents, leaving))
            yield from made[:leaving]
            held = made[leaving:]
        for k, item in enumerate(held):
            yield DenoisedFrame(item.frame, item.latents, item.shown, ends_batch=k == len(held) - 1)


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
    yield from denoiser.denoise(denoiser.condition(frames))


def _leaving(chunk: Chunk, latents: Value, count: int) -> Iterator[DenoisedFrame]:
    """A chunk's frames, of which the first `count` leave now."""
    for k, frame in enumerate(chunk.frames):
        yield DenoisedFrame(frame, rows(latents, k, k + 1), chunk.shown[k], ends_batch=k == count - 1)
