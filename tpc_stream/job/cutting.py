"""Where a long video is cut: chunks on the global frame index, each with the frames around it that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tpc_stream.errors import InputError
from tpc_stream.job.frame_index import FrameIndex


@dataclass(frozen=True, slots=True)
class JobChunk:
    """One piece of the output. A pure function of it, of the options and of the input makes the pictures."""

    number: int
    """From 0, in the order of showing."""
    frames: range
    """Global indices of the frames that it gives, counted from the start of the range that is animated."""
    denoised: range
    """Those that pass through the network: the window before is made as well, to be blended into."""
    read: range
    """Those that are decoded and looked at: poses and calibrations follow what they saw before."""
    start_seconds: Fraction
    """When the first of `read` is shown, after the source's first frame."""
    last_seconds: Fraction = Fraction(0)
    """When the last of `read` is shown, likewise: if a frame between them cannot be decoded, another comes last."""
    exact: bool = True
    """False: the only chunk of a video that has no index to be cut by; it gives whatever can be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutConfig:
    """How long chunks are, and how much of what lies around them they need."""

    chunk_frames: int
    """Nominal length; 0: all in one. It is rounded to whole strides."""
    stride_frames: int
    """From one window to the next: a multiple of the Iterative Propagation group."""
    overlap_frames: int
    """That a window shares with the one before."""
    warm_up_seconds: Fraction
    """How far back poses and calibrations remember."""
    frames_before: int = 0
    """Pose pictures that the network is shown from before a frame."""
    frames_after: int = 0

    def __post_init__(self) -> None:
        if self.stride_frames < 1 or self.chunk_frames < 0 or self.overlap_frames < 0 or self.warm_up_seconds < 0:
            raise InputError(f"a cut needs a stride of 1 frame or more and no negative length, got {self}")

    @property
    def made_twice(self) -> int:
        """Frames that pass through the network once more at each cut: by the chunk before it and the one after."""
        return self.stride_frames + self.overlap_frames if self.overlap_frames else 0


def cut(index: FrameIndex, frames: range, *, config: CutConfig) -> tuple[JobChunk, ...]:
    """Cuts `frames` of the index into chunks that begin at multiples of the windows' stride from its start on.

    All but the last are equally long; less than half a chunk at the end goes to the one before it.

    A window that lies at a border is made by both neighbours, from the same noise and the same draws; the later chunk
    blends it into its first frames as the windows within a chunk are blended, so borders of chunks are borders of
    windows and nothing else.
    """
    total, stride = len(frames), config.stride_frames
    length = max(stride, round(config.chunk_frames / stride) * stride) if config.chunk_frames else max(total, 1)
    starts = [number * length for number in range(chunk_count(total, length))]
    return tuple(
        _chunk(number, range(first, stop), index, frames, config)
        for number, (first, stop) in enumerate(zip(starts, [*starts[1:], total], strict=True))
    )


def chunk_count(frames: int, length: int) -> int:
    """Of a video of so many frames in chunks of `length`, 1 or more: 1 at least, a half counts as one."""
    return max(1, (2 * frames + length) // (2 * length))


def _chunk(number: int, made: range, index: FrameIndex, frames: range, config: CutConfig) -> JobChunk:
    total, last = len(frames), made.stop == len(frames)
    denoised_start = made.start - config.stride_frames if made.start and config.overlap_frames else made.start
    denoised = range(denoised_start, total if last else min(total, made.stop + config.overlap_frames))
    remembered = index.first_at(index.seconds(frames[denoised_start]) - config.warm_up_seconds) - frames.start
    read_start = max(0, min(remembered, denoised_start - config.frames_before)) if made.start else 0
    read = range(read_start, total if last else min(total, denoised.stop + config.frames_after))
    first, last_read = index.seconds(frames[read_start]), index.seconds(frames[read.stop - 1])
    return JobChunk(number, made, denoised, read, first, last_read)
