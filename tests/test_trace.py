"""The trace is what the Trace Event Format asks for: one track per stage, arrows from stage to stage."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def check(events: list[dict[str, Any]]) -> None:
    """What the Trace Event Format and the viewers ask of every event."""
    tracks = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    processes = {e["pid"] for e in events if e["name"] == "process_name"}
    slices: dict[tuple[int, int], list[tuple[float, float]]] = {}
    arrows: dict[int, list[dict[str, Any]]] = {}
    for event in events:
        assert event["ph"] in ("M", "X", "s", "t", "f")
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and isinstance(event["name"], str)
        assert event["pid"] in processes
        if event["ph"] == "M":
            continue
        assert isinstance(event["ts"], float) and event["ts"] >= 0
        track = event["pid"], event["tid"]
        if event["ph"] == "X":
            assert isinstance(event["dur"], float) and event["dur"] >= 0
            assert tracks[track] == event["name"], "one track per stage"
            slices.setdefault(track, []).append((event["ts"], event["ts"] + event["dur"]))
        else:
            assert event["cat"] and any(began <= event["ts"] <= ended for began, ended in slices[track])
            assert ("bp" in event) == (event["ph"] == "f")
            arrows.setdefault(event["id"], []).append(event)
    for spans in slices.values():
        for (_, ended), (began, _) in itertools.pairwise(spans):
            assert began >= ended - 1e-3, "slices of one track overlap"
    for way in arrows.values():
        phases = "".join(arrow["ph"] for arrow in way)
        assert re.fullmatch("st*f", phases)
        assert [arrow["ts"] for arrow in way] == sorted(arrow["ts"] for arrow in way)


def test_events_are_exact() -> None:
    events = list(trace_events(recorded(FakeClock(512.0))))
    check(events)
    complete = [(e["name"], e["ts"], e["dur"], e.get("args")) for e in events if e["ph"] == "X"]
    assert complete[:3] == [
        ("source", 0.0, 1.0e6, {"frame": 0}),
        ("stage/part", 1.0e6, 0.5e6, {"frame": 0}),
        ("stage", 1.0e6, 0.5e6, {"frame": 0}),
    ]
    assert complete[3][:3] == ("source", 1.75e6, 1.0e6)
    assert len(complete) == 9
    assert {e["cat"] for e in events if e["ph"] == "X"} == {"stage", "source"}
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["thread MainThread"]
    assert [e["args"]["name"] for e in events if e["name"] == "thread_name"] == ["source", "stage/part", "stage"]


def test_arrows_lead_each_frame_from_stage_to_stage() -> None:
    arrows = [e for e in trace_events(recorded(FakeClock())) if e["ph"] in "stf"]
    assert [(e["ph"], e["id"], e["ts"]) for e in arrows[:2]] == [("s", 0, 0.5e6), ("f", 0, 1.25e6)]
    assert [e["id"] for e in arrows] == [0, 0, 1, 1, 2, 2]


def test_a_window_is_drawn_where_it_works() -> None:
    clock = FakeClock()
    profiler = Profiler(clock=clock)

    def pair(upstream: Iterable[Item]) -> Iterator[Item]:
        held: list[Item] = []
        for item in upstream:
            clock.advance(0.25)
            held.append(item)
            if len(held) == 2:
                clock.advance(4.0)
                yield from held
                held = []

    def source() -> Iterator[Item]:
        for k in range(2):
            clock.advance(1.0)
            yield Item(k)

    list(profiler.stage("pair", pair, profiler.source("source", source())))
    events = list(trace_events(profiler.session()))
    check(events)
    drawn = [(e["ts"], e["dur"], e.get("args")) for e in events if e["ph"] == "X" and e["name"] == "pair"]
    assert drawn == [(1e6, 0.25e6, None), (2.25e6, 4.25e6, {"frame": 0}), (6.5e6, 0.0, {"frame": 1})]


def test_file_is_json_with_what_was_left_out(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    write_trace(recorded(FakeClock(), max_trace_spans=4), path)
    data = json.loads(path.read_text(encoding="utf-8"))
    check(data["traceEvents"])
    assert data["otherData"] == {"spans_left_out": 5, "environment": {}, "engine": "mannequin"}
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
    threads = {e["args"]["name"]: e["pid"] for e in events if e["name"] == "process_name"}
    assert set(threads) == {"thread MainThread", "thread ahead"}
    assert {e["pid"] for e in events if e["name"] == "source" and "args" in e} == {threads["thread ahead"]}
    assert {e["pid"] for e in events if e["name"] == "write"} == {threads["thread MainThread"]}
    assert {e["id"] for e in events if e["ph"] == "s"} == set(range(20))


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
