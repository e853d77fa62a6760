"""The trace is what the Trace Event Format asks for, and events nest as calls did."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fake_clock import FakeClock, Item, time_limit
from tpc_stream.errors import SinkError
from tpc_stream.prefetch import prefetch
from tpc_stream.profile import Profiler, Session
from tpc_stream.trace import trace_events, write_trace


def recorded(clock: FakeClock, *, max_trace_spans: int = 1000) -> Session:
    profiler = Profiler(clock=clock, max_trace_spans=max_trace_spans)

    def source() -> Iterator[Item]:
        for k in range(3):
            clock.advance(1.0)
            yield Item(k)

    def stage(upstream: Iterable[Item]) -> Iterator[Item]:
        for item in upstream:
            with profiler.span("part", item.index):
                clock.advance(0.5)
            yield item

    for _ in profiler.stage("stage", stage, profiler.source("source", source())):
        clock.advance(0.25)
    profiler.note(engine="mannequin")
    return profiler.session()


def check(events: list[dict[str, object]]) -> None:
    """What the viewers need of every event."""
    named = {event["tid"] for event in events if event["name"] == "thread_name"}
    for event in events:
        assert event["ph"] in ("M", "X")
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and isinstance(event["name"], str)
        if event["ph"] == "X":
            assert isinstance(event["ts"], float) and isinstance(event["dur"], float)
            assert event["ts"] >= 0 and event["dur"] >= 0
            assert event["tid"] in named
    for tid in named:
        open_until: list[float] = []
        for event in events:
            if event["ph"] == "X" and event["tid"] == tid:
                began, ended = event["ts"], event["ts"] + event["dur"]
                while open_until and open_until[-1] <= began:
                    open_until.pop()
                assert not open_until or ended <= open_until[-1] + 1e-3, "events of a thread overlap without nesting"
                open_until.append(ended)


def test_events_are_exact() -> None:
    events = list(trace_events(recorded(FakeClock(512.0))))
    check(events)
    complete = [(e["name"], e["ts"], e["dur"], e.get("args")) for e in events if e["ph"] == "X"]
    assert complete[:3] == [
        ("stage", 0.0, 1.5e6, {"frame": 0}),
        ("source", 0.0, 1.0e6, {"frame": 0}),
        ("stage/part", 1.0e6, 0.5e6, {"frame": 0}),
    ]
    assert complete[3][:3] == ("stage", 1.75e6, 1.5e6)
    assert len(complete) == 9
    assert {e["cat"] for e in events if e["ph"] == "X"} == {"stage", "source"}
    names = [e["args"] for e in events if e["name"] == "thread_name"]
    assert names == [{"name": "MainThread"}]


def test_file_is_json_with_what_was_left_out(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    write_trace(recorded(FakeClock(), max_trace_spans=4), path)
    data = json.loads(path.read_text(encoding="utf-8"))
    check(data["traceEvents"])
    assert data["otherData"] == {"spans_left_out": 5, "engine": "mannequin"}
    assert data["displayTimeUnit"] == "ms"
    with pytest.raises(SinkError, match="cannot write the trace to"):
        write_trace(recorded(FakeClock()), tmp_path / "missing" / "trace.json")


def test_real_threads_get_a_row_each() -> None:
    profiler = Profiler()
    with time_limit(20):
        ahead = prefetch(profiler.source("source", map(Item, range(20))), depth=2, name="ahead", profiler=profiler)
        for item in profiler.stage("stage", iter, ahead):
            with profiler.span("write", item.index):
                pass
    events = list(trace_events(profiler.session()))
    check(events)
    rows = {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name"}
    assert set(rows) == {"MainThread", "ahead"}
    assert {e["tid"] for e in events if e["name"] == "source" and "args" in e} == {rows["ahead"]}
    assert {e["tid"] for e in events if e["name"] == "write"} == {rows["MainThread"]}


def test_a_name_that_is_not_utf8_is_kept_and_a_failing_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = os.fsdecode(b"caf\xe9.mp4")
    session = replace(recorded(FakeClock()), context={"motion": name})
    path = tmp_path / "trace.json"
    with monkeypatch.context() as patch, pytest.raises(SinkError, match="No space left"):
        patch.setattr(os, "replace", full_disk)
        write_trace(session, path)
    assert list(tmp_path.iterdir()) == []
    write_trace(session, path)
    assert json.loads(path.read_text(encoding="utf-8"))["otherData"]["motion"] == name
