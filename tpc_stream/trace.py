"""A Session's spans as Trace Event JSON, which ui.perfetto.dev and chrome://tracing open as a timeline.

Format: "Trace Event Format", Google 2016: complete events ("ph": "X") with ts and dur in microseconds, one row a
thread; a stage's event contains the events of what it pulled from, in the same thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpc_stream.errors import SinkError
from tpc_stream.recording.session import Session
from tpc_stream.writing.whole_file import write_whole

PROCESS = 1
"""The one process of the trace."""


def trace_events(session: Session) -> Iterator[dict[str, Any]]:
    """Metadata that names the process and its threads, then one complete event a span, by start."""
    trace = session.trace
    yield {"ph": "M", "pid": PROCESS, "tid": 0, "name": "process_name", "args": {"name": "tpc-stream"}}
    for number, name in enumerate(trace.threads):
        # Thread 0 would share its row with the process, so rows count from 1, in the order the threads came.
        row = {"ph": "M", "pid": PROCESS, "tid": number + 1}
        yield {**row, "name": "thread_name", "args": {"name": name}}
        yield {**row, "name": "thread_sort_index", "args": {"sort_index": number}}
    # Where two spans start together the longer one is the outer one and has to come first.
    order = sorted(range(len(trace.began_us)), key=lambda k: (trace.began_us[k], -trace.duration_us[k]))
    for k in order:
        name = trace.names[trace.name_ids[k]]
        event: dict[str, Any] = {
            "ph": "X",
            "pid": PROCESS,
            "tid": trace.thread_ids[k] + 1,
            "name": name,
            "cat": name.partition("/")[0],
            "ts": trace.began_us[k],
            "dur": trace.duration_us[k],
        }
        if trace.frames[k] >= 0:
            event["args"] = {"frame": trace.frames[k]}
        yield event


def write_trace(session: Session, path: Path) -> None:
    """Write the whole trace, or nothing; SinkError where the file cannot be written."""
    data = {
        "traceEvents": list(trace_events(session)),
        "displayTimeUnit": "ms",
        "otherData": {"spans_left_out": session.trace.left_out, **session.context},
    }
    try:
        # ASCII: a file's name in the context need not be UTF-8
        write_whole(path, [json.dumps(data, allow_nan=False).encode("ascii")])
    except OSError as error:
        raise SinkError(
            f"cannot write the trace to {path}: {error.strerror}; give a path that can be written"
        ) from error
