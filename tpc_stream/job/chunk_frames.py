"""The driving video's frames for chunks that follow one another, held against the index that they were cut by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from tpc_stream.frame import Frame
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.spec import JobSpec
from tpc_stream.reading.source_info import exact_seconds
from tpc_stream.source import read_frames

_NEAR_SECONDS = Fraction(1, 1000)
"""Matroska's tick: so much a frame's time may lie off its index."""


def read_chunks(spec: JobSpec, chunks: Sequence[JobChunk]) -> Iterator[Frame]:
    """The frames that the chunks look at, each once, with the indices and times of the whole output.

    Raises IndexMismatchError where they are not those of the index, for a chunk as soon as that shows.
    """
    options, first, last = spec.options, chunks[0], chunks[-1]
    if not first.exact:
        yield from read_frames(
            spec.motion, start_seconds=options.start_seconds, end_seconds=options.end_seconds,
            max_frames=options.max_frames, options=options.source_options,
        )  # fmt: skip
        return
    # of the first frame and the last of each: where one between them is missing, later ones take its place
    due = {chunk.read.start: chunk.start_seconds for chunk in chunks}
    due |= {chunk.read.stop - 1: chunk.last_seconds for chunk in chunks}
    offset = first.start_seconds - exact_seconds(options.start_seconds)
    indices = range(first.read.start, last.read.stop)
    frames: Iterable[Frame] = read_frames(
        spec.motion, start_seconds=first.start_seconds, max_frames=len(indices), options=options.source_options
    )
    count = 0
    for index, frame in zip(indices, frames, strict=False):
        seconds = first.start_seconds + frame.pts_seconds
        if abs(seconds - due.get(index, seconds)) > _NEAR_SECONDS:
            raise IndexMismatchError(
                f"{spec.motion} has a picture at {float(seconds):.3f} s, where its index says that frame {index} is "
                f"shown at {float(due[index]):.3f} s"
            )
        yield replace(frame, index=index, pts_seconds=max(Fraction(0), frame.pts_seconds + offset))
        count += 1
    if count != len(indices):
        raise IndexMismatchError(
            f"{spec.motion} gave {count} frames from {float(first.start_seconds):.3f} s on, its index says "
            f"{len(indices)}"
        )
