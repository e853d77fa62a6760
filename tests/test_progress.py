"""Progress: frames pass unchanged, the rate is right, and a log is not flooded."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.fake_clock import FakeClock
from tpc_stream.errors import InputError
from tpc_stream.progress import Rate, show_progress, status_line


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80, force_terminal=terminal, color_system=None, legacy_windows=False), file


def ticking(clock: FakeClock, count: int, seconds: float) -> Iterator[int]:
    for k in range(count):
        clock.advance(seconds)
        yield k


def test_lines_in_a_log() -> None:
    clock = FakeClock()
    log, file = console(terminal=False)
    frames = show_progress(ticking(clock, 48, 0.25), total=48, console=log, clock=clock)
    assert list(frames) == list(range(48))
    assert file.getvalue().splitlines() == [
        "20/48 frames, 4.2 frames/s, 0:07 left",
        "40/48 frames, 4.2 frames/s, 0:02 left",
        "48 frames in 12.0 s",
    ]


def test_lines_without_a_total() -> None:
    clock = FakeClock()
    log, file = console(terminal=False)
    list(show_progress(ticking(clock, 6, 2.0), total=None, console=log, clock=clock))
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("3 frames, 0.") and "left" not in lines[0]
    assert lines[-1] == "6 frames in 12.0 s"


@pytest.mark.parametrize("total", [30, None])
def test_bar_in_a_terminal(total: int | None) -> None:
    clock = FakeClock()
    terminal, file = console(terminal=True)
    assert list(show_progress(ticking(clock, 30, 0.125), total=total, console=terminal, clock=clock)) == list(range(30))
    text = file.getvalue()
    assert "30/30" in text if total else "30/?" in text
    assert "frames/s" in text
    assert ("left" in text) is (total is not None)


def test_bar_is_put_away_when_the_consumer_stops() -> None:
    clock = FakeClock()
    terminal, file = console(terminal=True)
    frames = show_progress(ticking(clock, 30, 0.125), total=30, console=terminal, clock=clock)
    next(frames)
    frames.close()
    assert file.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_rate_of_bursts() -> None:
    rate = Rate(0.0)
    assert rate.frames_per_second is None
    for k in range(1, 200):
        for _ in range(16):
            rate.add(0.8 * k)  # windows of 16 frames, one each 0.8 s: 20 frames/s
    assert rate.frames_per_second == pytest.approx(20.0 / (1 - 0.133), rel=0.02)
    assert Rate(0.0).frames_per_second is None


def test_status_line() -> None:
    assert status_line(0, 10, None) == "0/10 frames"
    assert status_line(10, 10, 5.0) == "10/10 frames, 5.0 frames/s"
    assert status_line(0, 3600 * 2, 1.0) == "0/7200 frames, 1.0 frames/s, 2:00:00 left"


def test_total_below_zero() -> None:
    with pytest.raises(InputError, match="got total = -1"):
        show_progress([], total=-1, console=Console())
