"""The table says what the session holds, fits a terminal, and hides nothing."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.fake_clock import FakeClock, Item
from tpc_stream.errors import SinkError
from tpc_stream.profile import Profiler, Session
from tpc_stream.report import render_table, render_text, write_json


@pytest.fixture
def session() -> Session:
    clock = FakeClock()
    profiler = Profiler(clock=clock, max_trace_spans=5)

    def source() -> Iterator[Item]:
        for k in range(4):
            clock.advance(0.25)
            yield Item(k, clock())

    def denoise(upstream: Iterable[Item]) -> Iterator[Item]:
        held = list(upstream)
        for _ in range(2):
            with profiler.span("pass"):
                clock.advance(0.5)
        yield from held
        clock.advance(0.125)

    for item in profiler.stage("denoise", denoise, profiler.source("source", source())):
        with profiler.span("write", item.index):
            clock.advance(0.125)
        profiler.queue_waited("ahead", capacity=2, began=0.0, ended=0.0, depth=1, queued=0.0, index=item.index)
        clock.advance(0.0625)
        profiler.frame_done(item.index, item.captured_seconds)
    profiler.count("corrupt packets", 3)
    profiler.frame_event("held", 2)
    return profiler.session(fps=2)


def row(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.strip().startswith(name + " "))
    return line.split()[len(name.split()) :]


def test_rows(session: Session) -> None:
    text = render_text(session)
    assert row(text, "stage")[:6] == ["count", "p50", "p90", "p99", "max", "share"]
    assert row(text, "source")[:6] == ["4", *["250.0"] * 4, "34.8%"]
    assert row(text, "denoise")[:6] == ["4", *["250.0"] * 4, "39.1%"]
    assert row(text, "pass")[:6] == ["2", *["500.0"] * 4, "34.8%"]
    assert row(text, "write")[:6] == ["4", *["125.0"] * 4, "17.4%"]
    assert row(text, "queue ahead empty")[:6] == ["4", *["0.00"] * 4, "0.0%"]
    assert row(text, "structural") == ["4", "375.0", "675.0", "742.5", "750.0"]
    assert row(text, "end to end") == ["4", "1844", "1919", "1936", "1938"]
    lines = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert lines.index("denoise") + 1 == lines.index("pass") < lines.index("write")


def test_sentences(session: Session) -> None:
    text = render_text(session)
    assert "4 frames in 2.88 s: 1.39 frames/s, the first after 2.19 s" in text
    assert "At 2 frames/s (500.0 ms a frame): none late" in text
    assert "Thread MainThread: 2875 ms = 2625 in stages + 0 waiting + 250 unaccounted (8.7%)" in text
    assert "denoise: 4 frames came in 1 batches, the longest 1000.0 ms" in text
    assert "denoise: 125.0 ms more that no frame carries" in text
    assert "1 frames held" in text and "corrupt packets: 3" in text
    assert "The trace holds the first 5 spans; 10 left out" in text
    assert session.end_to_end is not None
    parts = "375.0 structural + 281.2 queue + 1125.0 compute + 0.0 codec + 62.5 unaccounted (3.4%)"
    assert f"End to end, mean {session.end_to_end.latency.mean_ms:.1f} ms = {parts}" in text


def test_bars_are_in_proportion(session: Session) -> None:
    bars = {name: row(render_text(session), name)[6] for name in ("source", "denoise", "write")}
    assert bars == {"source": "█▊", "denoise": "██", "write": "▉"}


def test_fits_a_terminal_of_80_columns(session: Session) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor", legacy_windows=False)
    with console.capture() as captured:
        console.print(render_table(session))
    text = captured.get()
    assert "…" not in text
    assert "\x1b[" in text
    assert "\x1b" not in render_text(session)


def test_empty_session() -> None:
    text = render_text(Profiler().session())
    assert "0 frames in 0.00 s: 0.00 frames/s" in text


def test_json_file(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    write_json(session, path)
    assert Session.from_json(path.read_text(encoding="utf-8")) == session
    with pytest.raises(SinkError, match="cannot write the profile to"):
        write_json(session, tmp_path / "missing" / "profile.json")


def test_a_profile_is_written_whole_or_not_at_all(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "profile.json"
    path.write_text("old")
    with monkeypatch.context() as patch, pytest.raises(SinkError, match="No space left"):
        patch.setattr(os, "replace", full_disk)
        write_json(session, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    (tmp_path / "folder").mkdir()
    with pytest.raises(SinkError, match=r"cannot write the profile to .*folder: Is a directory; give a path"):
        write_json(session, tmp_path / "folder")


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_name_that_is_not_utf8_is_kept(session: Session, tmp_path: Path) -> None:
    named = replace(session, context={"motion": os.fsdecode(b"caf\xe9.mp4")})
    write_json(named, tmp_path / "profile.json")
    assert Session.from_json((tmp_path / "profile.json").read_text(encoding="utf-8")) == named
