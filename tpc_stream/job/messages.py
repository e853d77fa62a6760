"""What the job's process and its workers tell each other, beside the events."""

from __future__ import annotations

from dataclasses import dataclass

from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.events import Event


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker wants a chunk."""


@dataclass(frozen=True, slots=True)
class Make:
    """What a worker is told; None: it may end."""

    chunk: JobChunk
    onward: int
    """So many of the chunks that follow are free as yet, and likely to be the worker's next."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker could not make its chunk, and would fail again: it is not a crash."""

    message: str
    kind: str
    """The name of the error's class."""


Message = Ready | Failed | Event
