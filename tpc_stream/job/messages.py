"""What a worker tells the job's process, beside the events; a chunk, or None at the end, is what it is told."""

from __future__ import annotations

from dataclasses import dataclass

from tpc_stream.job.events import Event


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker wants a chunk."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker could not make its chunk, and would fail again: it is not a crash."""

    message: str
    kind: str
    """The name of the error's class."""


Message = Ready | Failed | Event
