"""Chunks become segment files: read, animated, laid out and encoded by one process."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tpc_stream.bridge import Bridge
from tpc_stream.frame import AnimatedFrame, Portrait
from tpc_stream.job.chunk_frames import read_chunks
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.spec import JobSpec
from tpc_stream.part import WHOLE, Part
from tpc_stream.pipeline import Animator
from tpc_stream.procrustes import warp
from tpc_stream.profile import Profiler
from tpc_stream.relay import PoseStage
from tpc_stream.sidebyside import side_by_side
from tpc_stream.sink import SinkConfig, write_video

_FEW_SPANS = 1000
"""Nobody looks at a job's trace, and it must not fill the memory of a run of hours."""


@dataclass(slots=True)
class _Run:
    """Chunks that follow one another, on their way."""

    frames: Generator[AnimatedFrame, None, None]
    next: int
    """The number of the chunk whose frames come next."""
    last: int
    """Of the last one that is read."""


class SegmentMaker:
    """A job's engines and reference, open: makes any of its chunks, in any order. A context manager.

    A chunk that follows the one before is not begun anew: its frames are on their way already, and what the chunk
    before went over to at its end is gone on with. Its pictures are the same to the bit.

    Args:
        threads: of an engine; 0: all cores.
        pose_stage: see `Animator`.
    """

    def __init__(self, spec: JobSpec, *, threads: int, pose_stage: PoseStage | None = None) -> None:
        self._spec = spec
        options = replace(spec.options, threads=threads)
        self._animator = Animator(options, profiler=Profiler(max_trace_spans=_FEW_SPANS), pose_stage=pose_stage)
        self._run: _Run | None = None
        try:
            self._portrait = self._animator.set_reference(spec.reference)
        except BaseException:
            self._animator.close()
            raise

    def make(self, chunk: JobChunk, path: Path, *, onward: int = 0) -> Generator[int, None, None]:
        """Writes the chunk's pictures to `path`; yields the number of frames that are done, after each.

        onward: how many of the chunks that follow are likely to be asked for next, one after the other; work on the
        first of them begins before this one is finished. Fewer than was said at the chunk before are those that are
        not begun. The pictures' times are those of the whole output. Raises
        IndexMismatchError where the input's frames are not those of its index, and what `write_video` raises.
        """
        spec, outputs, done = self._spec, self._spec.outputs, 0
        config = SinkConfig(
            codec=outputs.settled_codec, crf=outputs.crf, frame_rate=spec.rate, time_base=spec.time_base
        )
        run = self._run_to(chunk, onward)
        try:
            with closing(_taken(run.frames, chunk)) as taken:
                for _ in write_video(taken, path, config=config):
                    done += 1
                    yield done
            if chunk.exact and done != len(chunk.frames):
                raise IndexMismatchError(
                    f"{spec.motion} gave {done} of the frames {chunk.frames.start} to {chunk.frames.stop - 1}, which "
                    "is not what its index says"
                )
        except BaseException as error:
            try:
                self._drop()
            except Exception as second:  # what went wrong first is the one to tell
                error.add_note(str(second))
            raise
        run.next = chunk.number + 1

    def _run_to(self, chunk: JobChunk, onward: int) -> _Run:
        """The run that comes to this chunk's frames next."""
        run, last = self._run, chunk.number + onward
        if run is not None and run.next == chunk.number <= run.last:
            run.last = min(run.last, last)
            return run
        self._drop()
        self._run = run = _Run(self._animated(self._spec.chunks[chunk.number : last + 1]), chunk.number, last)
        return run

    def _last(self) -> JobChunk:
        assert self._run is not None
        return self._spec.chunks[self._run.last]

    def _animated(self, chunks: Sequence[JobChunk]) -> Generator[AnimatedFrame, None, None]:
        spec = self._spec
        read = read_chunks(spec, chunks, last=self._last)
        animated = self._animator.animate(read, parts=_parts(spec.chunks, chunks))
        with closing(animated):
            if not spec.outputs.side_by_side:
                yield from animated
                return
            calibrated = partial(_calibrated_picture, self._portrait)
            yield from side_by_side(animated, portrait=self._portrait, calibrated=calibrated)

    def _drop(self) -> None:
        """What is under way is not wanted any more."""
        if self._run is None:
            return
        try:
            self._run.frames.close()  # its reader asks for the run until it has ended
        finally:
            self._run = None

    def close(self) -> None:
        """Closes the engines."""
        try:
            self._drop()
        finally:
            self._animator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _taken(frames: Iterator[AnimatedFrame], chunk: JobChunk) -> Generator[AnimatedFrame, None, None]:
    """The chunk's own; the stream stays open behind them."""
    for frame in frames:
        yield frame
        if chunk.exact and frame.index == chunk.frames.stop - 1:
            return


def _parts(every: Sequence[JobChunk], chunks: Sequence[JobChunk]) -> list[Part]:
    if not chunks[0].exact:
        return [WHOLE]
    following: tuple[JobChunk | None, ...] = (*every[chunks[0].number + 1 : chunks[-1].number + 2], None)
    return [
        Part(chunk.read, chunk.denoised, chunk.frames, _bridge(chunk, other))
        for chunk, other in zip(chunks, following, strict=False)
    ]


def _bridge(chunk: JobChunk, following: JobChunk | None) -> Bridge | None:
    """Into the next chunk's calibration; it does not reach back into the chunk before."""
    if following is None:
        return None
    begins = following.read.start
    return Bridge(begins, max(begins, chunk.frames.start), chunk.frames.stop)


def _calibrated_picture(portrait: Portrait, frame: AnimatedFrame) -> Any:
    height, width = portrait.mask.shape
    return warp(portrait.image, portrait.mask, frame.source.calibration.transform, width=width, height=height)[0]
