"""The chunks of a job, one after the other, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count

from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.events import ChunkFinished, Event, FramesMade
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.segment_maker import SegmentMaker

TELL_SECONDS = 0.2
"""So often frames are told of, at most."""


def make_alone(
    folder: JobFolder, maker: SegmentMaker, chunks: Sequence[JobChunk], *, onward: int = 0
) -> Iterator[Event]:
    """Makes the chunks; each is kept from the moment that it is finished. Raises what `SegmentMaker.make` raises.

    onward: how many chunks are likely to follow the last of these.
    """
    end = chunks[-1].number + 1
    likely = {chunk.number for chunk in chunks} | set(range(end, end + onward))
    for chunk in chunks:
        following = next(k for k in count() if chunk.number + k + 1 not in likely)
        began = told = time.perf_counter()
        done = 0
        with closing(maker.make(chunk, folder.part(chunk.number), onward=following)) as making:
            for done in making:
                now = time.perf_counter()
                if now - told >= TELL_SECONDS:
                    told = now
                    yield FramesMade(chunk.number, done)
        seconds = time.perf_counter() - began
        folder.finish(chunk.number, frames=done, seconds=seconds, finished=time.time())
        yield ChunkFinished(chunk.number, done, seconds)
