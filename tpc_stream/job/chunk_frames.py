"""The driving video's frames for chunks that follow one another, held against the index that they were cut by."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import numpy as np

from tpc_stream.frame import Frame
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.spec import JobSpec
from tpc_stream.reading.source_info import exact_seconds
from tpc_stream.source import read_frames

_NEAR_SECONDS = Fraction(1, 1000)
"""Matroska's tick: so much a frame's time may lie off its index."""


def read_chunks(
    spec: JobSpec, chunks: Sequence[JobChunk], *, last: Callable[[], JobChunk] | None = None
) -> Iterator[Frame]:
    """The frames that the chunks look at, each once, with the indices and times of the whole output.

    last: the chunk after which the frames end, asked for on the way; None: the last one.

    Raises IndexMismatchError where they are not those of the index, for a chunk as soon as that shows. A chunk that is
    read on to has to begin with the frame that it would begin with alone, or whether a video can be cut would be a
    matter of who makes which chunk.
    """
    options, first = spec.options, chunks[0]
    if not first.exact:
        yield from read_frames(
            spec.motion, start_seconds=options.start_seconds, end_seconds=options.end_seconds,
            max_frames=options.max_frames, options=options.source_options,
        )  # fmt: skip
        return
    # of the first frame and the last of each: where one between them is missing, later ones take its place
    due = {chunk.read.start: chunk.start_seconds for chunk in chunks}
    due |= {chunk.read.stop - 1: chunk.last_seconds for chunk in chunks}
    entered = {chunk.read.start: chunk for chunk in chunks[1:]}
    offset = first.start_seconds - exact_seconds(options.start_seconds)
    indices = range(first.read.start, chunks[-1].read.stop)
    count = 0
    for index, frame in zip(indices, _from(spec, first, most=len(indices)), strict=False):
        if index >= (last() if last else chunks[-1]).read.stop:
            return
        seconds = first.start_seconds + frame.pts_seconds
        if abs(seconds - due.get(index, seconds)) > _NEAR_SECONDS:
            raise IndexMismatchError(
                f"{spec.motion} has a picture at {float(seconds):.3f} s, where its index says that frame {index} is "
                f"shown at {float(due[index]):.3f} s"
            )
        if index in entered:
            _check_entry(spec, entered[index], frame)
        yield replace(frame, index=index, pts_seconds=max(Fraction(0), frame.pts_seconds + offset))
        count += 1
    if count != len(indices):
        raise IndexMismatchError(
            f"{spec.motion} gave {count} frames from {float(first.start_seconds):.3f} s on, its index says "
            f"{len(indices)}"
        )


def _from(spec: JobSpec, chunk: JobChunk, *, most: int) -> Generator[Frame, None, None]:
    return read_frames(
        spec.motion, start_seconds=chunk.start_seconds, max_frames=most, options=spec.options.source_options
    )


def _check_entry(spec: JobSpec, chunk: JobChunk, frame: Frame) -> None:
    with closing(_from(spec, chunk, most=1)) as frames:
        entry = next(frames, None)
    if entry is None or entry.pts_seconds > _NEAR_SECONDS or not np.array_equal(entry.image, frame.image):
        raise IndexMismatchError(
            f"{spec.motion} gives other frames from {float(chunk.start_seconds):.3f} s on than when it is read through"
        )
