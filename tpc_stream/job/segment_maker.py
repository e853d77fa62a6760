"""A chunk becomes a segment file: read, animated, laid out and encoded by one process."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tpc_stream.bridge import Bridge, Part
from tpc_stream.frame import AnimatedFrame, Frame, Portrait
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.spec import JobSpec
from tpc_stream.pipeline import Animator, PoseStage
from tpc_stream.procrustes import warp
from tpc_stream.profile import Profiler
from tpc_stream.reading.source_info import exact_seconds
from tpc_stream.sidebyside import side_by_side
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import read_frames

_NEAR_SECONDS = Fraction(1, 1000)
"""Matroska's tick: so much a frame's time may lie off its index."""
_FEW_SPANS = 1000
"""Nobody looks at a job's trace, and it must not fill the memory of a run of hours."""


class SegmentMaker:
    """A job's engines and reference, open: makes any of its chunks, in any order. A context manager.

    Args:
        threads: of an engine; 0: all cores.
        pose_stage: see `Animator`.
    """

    def __init__(self, spec: JobSpec, *, threads: int, pose_stage: PoseStage | None = None) -> None:
        self._spec = spec
        options = replace(spec.options, threads=threads)
        self._animator = Animator(options, profiler=Profiler(max_trace_spans=_FEW_SPANS), pose_stage=pose_stage)
        try:
            self._portrait = self._animator.set_reference(spec.reference)
        except BaseException:
            self._animator.close()
            raise

    def make(self, chunk: JobChunk, path: Path) -> Generator[int, None, None]:
        """Writes the chunk's pictures to `path`; yields the number of frames that are done, after each.

        The pictures' times are those of the whole output. Raises IndexMismatchError where the input's frames are not
        those of its index, and what `write_video` raises.
        """
        spec, outputs, done = self._spec, self._spec.outputs, 0
        config = SinkConfig(
            codec=outputs.settled_codec, crf=outputs.crf, frame_rate=spec.rate, time_base=spec.time_base
        )
        with closing(self._animated(chunk)) as animated:
            for _ in write_video(animated, path, config=config):
                done += 1
                yield done
        if chunk.exact and done != len(chunk.frames):
            raise IndexMismatchError(
                f"{spec.motion} gave {done} of the frames {chunk.frames.start} to {chunk.frames.stop - 1}, which is "
                "not what its index says"
            )

    def _animated(self, chunk: JobChunk) -> Generator[AnimatedFrame, None, None]:
        part = Part(chunk.denoised, _bridge(chunk)) if chunk.exact else None
        animated = self._animator.animate(_read(self._spec, chunk), part=part)
        frames: Iterator[AnimatedFrame] = animated
        if self._spec.outputs.side_by_side:
            calibrated = partial(_calibrated_picture, self._portrait)
            frames = side_by_side(animated, portrait=self._portrait, calibrated=calibrated)
        try:
            for frame in frames:
                if chunk.exact and frame.index >= chunk.frames.stop:
                    return
                if frame.index >= chunk.frames.start:
                    yield frame
        finally:
            animated.close()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Closes the engines."""
        self._animator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bridge(chunk: JobChunk) -> Bridge | None:
    """Into the next chunk's calibration; it does not reach back into the chunk before."""
    if chunk.next_read is None:
        return None
    return Bridge(chunk.next_read, max(chunk.next_read, chunk.frames.start), chunk.frames.stop)


def _read(spec: JobSpec, chunk: JobChunk) -> Iterator[Frame]:
    """The chunk's frames with the indices and times of the whole range."""
    options = spec.options
    if not chunk.exact:
        yield from read_frames(
            spec.motion, start_seconds=options.start_seconds, end_seconds=options.end_seconds,
            max_frames=options.max_frames, options=options.source_options,
        )  # fmt: skip
        return
    offset = chunk.start_seconds - exact_seconds(options.start_seconds)
    count = 0
    frames: Iterable[Frame] = read_frames(
        spec.motion, start_seconds=chunk.start_seconds, max_frames=len(chunk.read), options=options.source_options
    )
    for frame in frames:
        _check_time(spec, chunk, count, chunk.start_seconds + frame.pts_seconds)
        yield replace(frame, index=chunk.read[count], pts_seconds=max(Fraction(0), frame.pts_seconds + offset))
        count += 1
    if count != len(chunk.read):
        raise IndexMismatchError(
            f"{spec.motion} gave {count} frames from {float(chunk.start_seconds):.3f} s on, its index says "
            f"{len(chunk.read)}"
        )


def _check_time(spec: JobSpec, chunk: JobChunk, count: int, seconds: Fraction) -> None:
    """Of the first frame and the last: where one between them is missing, later ones take its place."""
    ends = {0: chunk.start_seconds, len(chunk.read) - 1: chunk.last_seconds}
    wanted = ends.get(count, seconds)
    if abs(seconds - wanted) > _NEAR_SECONDS:
        raise IndexMismatchError(
            f"{spec.motion} has a picture at {float(seconds):.3f} s, where its index says that frame "
            f"{chunk.read[count]} is shown at {float(wanted):.3f} s"
        )


def _calibrated_picture(portrait: Portrait, frame: AnimatedFrame) -> Any:
    height, width = portrait.mask.shape
    return warp(portrait.image, portrait.mask, frame.source.calibration.transform, width=width, height=height)[0]
