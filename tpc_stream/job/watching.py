"""A job's events for people: how far it is, and what was told on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from rich.console import Console

from tpc_stream.job.events import (
    ChunkFinished,
    ChunkRetried,
    Event,
    Finished,
    FramesMade,
    Joining,
    Recut,
    Started,
    event_to_json,
)
from tpc_stream.progress import show_progress


def watch(events: Iterable[Event], *, console: Console) -> Finished | None:
    """Runs the job to its end and shows it as an ordinary run is shown."""
    events = iter(events)
    finished: Finished | None = None
    for event in events:
        if isinstance(event, Started):
            _say(console, _started(event))
            rest: list[Event] = []
            left = event.frames - event.finished_frames
            for _ in show_progress(_frames(events, rest, console), total=left, console=console):
                pass
            events = chain(rest, events)
        elif isinstance(event, Recut):
            _say(console, f"warning: {event.reason}; it is made in one chunk, from its start")
        elif isinstance(event, Finished):
            finished = event
    return finished


def print_json(events: Iterable[Event]) -> Finished | None:
    """Runs the job to its end and prints each event as a line of JSON on the standard output."""
    finished: Finished | None = None
    for event in events:
        print(event_to_json(event), flush=True)
        if isinstance(event, Finished):
            finished = event
    return finished


def _frames(events: Iterator[Event], rest: list[Event], console: Console) -> Iterator[None]:
    """One item for each frame that was not made before; what comes after the last goes to `rest`."""
    made: dict[int, int] = {}
    for event in events:
        if isinstance(event, FramesMade | ChunkFinished):
            before = made.get(event.chunk, 0)
            made[event.chunk] = max(before, event.frames)
            yield from (None for _ in range(event.frames - before))
        elif isinstance(event, ChunkRetried):
            _say(console, f"chunk {event.chunk}: {event.reason}; attempt {event.attempt} begins")
        elif isinstance(event, Joining | Recut | Finished):
            rest.append(event)
            return


def _started(event: Started) -> str:
    chunks = f"{event.frames} frames in {event.chunks} chunk{'s' if event.chunks > 1 else ''}"
    before = f", {event.finished_chunks} of them made before" if event.finished_chunks else ""
    workers = f"; {event.workers} workers" if event.workers > 1 else ""
    return f"{chunks}{before}{workers}"


def _say(console: Console, line: str) -> None:
    style = "yellow" if line.startswith("warning") else ""
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
