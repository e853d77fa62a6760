"""What happens in a job, as it happens; also as JSON, one object a line, for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The job begins, or goes on."""

    chunks: int
    finished_chunks: int
    """From before."""
    frames: int
    """Of the whole output."""
    finished_frames: int
    workers: int


@dataclass(frozen=True, slots=True)
class FramesMade:
    """More frames of a chunk are done."""

    chunk: int
    frames: int
    """Of this chunk, so far."""


@dataclass(frozen=True, slots=True)
class ChunkFinished:
    """A chunk's segment is on the disk."""

    chunk: int
    frames: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ChunkRetried:
    """A chunk was lost with its worker and is made again."""

    chunk: int
    attempt: int
    """The one that begins now, the first being 1."""
    reason: str


@dataclass(frozen=True, slots=True)
class Recut:
    """The video cannot be cut after all: it is made in one chunk, from its start."""

    reason: str


@dataclass(frozen=True, slots=True)
class Joining:
    """All segments are there."""

    segments: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The output is there, checked."""

    path: str
    frames: int
    seconds: float
    """Length of the video."""


Event = Started | FramesMade | ChunkFinished | ChunkRetried | Recut | Joining | Finished
_NAMES = {
    Started: "started", FramesMade: "frames", ChunkFinished: "chunk", ChunkRetried: "retry", Recut: "recut",
    Joining: "joining", Finished: "finished",
}  # fmt: skip


def event_to_json(event: Event) -> str:
    """One line: the event's name, and its fields as they are called above."""
    return json.dumps({"event": _NAMES[type(event)], **asdict(event)})
