"""A Session's spans as Trace Event JSON, which ui.perfetto.dev and chrome://tracing open as a timeline.

Format: "Trace Event Format", Google 2016. A thread is shown as a process with one track for each of its stages and
parts; work is a complete event ("ph": "X") with ts and dur in microseconds. Arrows (flow events "s", "t", "f") lead
each frame from stage to stage; an arrow's end binds to the slice that encloses its time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpc_stream.errors import SinkError
from tpc_stream.recording.session import Session, Trace
from tpc_stream.writing.whole_file import write_whole

Event = dict[str, Any]


def trace_events(session: Session) -> Iterator[Event]:
    """Metadata that names every track, then one complete event a span, by start, then the arrows, by frame."""
    trace = session.trace
    yield from _tracks(trace)
    order = sorted(range(len(trace.began_us)), key=lambda k: trace.began_us[k])
    for k in order:
        name = trace.names[trace.name_ids[k]]
        event: Event = {
            "ph": "X",
            "pid": trace.thread_ids[k] + 1,
            "tid": trace.name_ids[k] + 1,
            "name": name,
            "cat": name.partition("/")[0],
            "ts": trace.began_us[k],
            "dur": trace.duration_us[k],
        }
        if trace.frames[k] >= 0:
            event["args"] = {"frame": trace.frames[k]}
        yield event
    yield from _arrows(trace, order)


def write_trace(session: Session, path: Path) -> None:
    """Write the whole trace, or nothing; SinkError where the file cannot be written."""
    data = {
        "traceEvents": list(trace_events(session)),
        "displayTimeUnit": "ms",
        "otherData": {
            "spans_left_out": session.trace.left_out,
            "environment": session.environment,
            **session.context,
        },
    }
    try:
        # ASCII: a file's name in the context need not be UTF-8
        write_whole(path, [json.dumps(data, allow_nan=False).encode("ascii")])
    except OSError as error:
        raise SinkError(
            f"cannot write the trace to {path}: {error.strerror}; give a path that can be written"
        ) from error


def _tracks(trace: Trace) -> Iterator[Event]:
    # Numbers count from 1, in the order in which threads and stages came: 0 is the viewers' own.
    for number, name in enumerate(trace.threads):
        yield {"ph": "M", "pid": number + 1, "tid": 0, "name": "process_name", "args": {"name": f"thread {name}"}}
        yield {"ph": "M", "pid": number + 1, "tid": 0, "name": "process_sort_index", "args": {"sort_index": number}}
    for thread, stage in sorted(set(zip(trace.thread_ids, trace.name_ids, strict=True))):
        track = {"ph": "M", "pid": thread + 1, "tid": stage + 1}
        yield {**track, "name": "thread_name", "args": {"name": trace.names[stage]}}
        yield {**track, "name": "thread_sort_index", "args": {"sort_index": stage}}


def _arrows(trace: Trace, order: list[int]) -> Iterator[Event]:
    """From each stage's slice of a frame to the next stage's; a slice without length cannot hold an arrow's end."""
    ways: dict[int, list[int]] = {}
    for k in order:
        if trace.frames[k] >= 0 and trace.duration_us[k] > 0 and "/" not in trace.names[trace.name_ids[k]]:
            ways.setdefault(trace.frames[k], []).append(k)
    for frame, slices in ways.items():
        for place, k in enumerate(slices if len(slices) > 1 else ()):
            phase = "s" if place == 0 else "f" if place == len(slices) - 1 else "t"
            yield {
                "ph": phase,
                "pid": trace.thread_ids[k] + 1,
                "tid": trace.name_ids[k] + 1,
                "name": "frame",
                "cat": "frame",
                "id": frame,
                "ts": trace.began_us[k] + trace.duration_us[k] / 2,
                **({"bp": "e"} if phase == "f" else {}),
            }
