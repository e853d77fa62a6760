"""The live table passes every frame, draws once a second, and shows what is recent."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console

from tests.fake_clock import FakeClock, Item
from tpc_stream.live_table import recent_table, show_live
from tpc_stream.profile import Profiler


def console() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=True, legacy_windows=False)


def recorded(profiler: Profiler, clock: FakeClock, count: int) -> Iterator[Item]:
    def source() -> Iterator[Item]:
        for k in range(count):
            clock.advance(0.25 if k < 100 else 0.5)
            yield Item(k, clock() - 0.125)

    for item in profiler.stage("denoise", iter, profiler.source("camera", source())):
        profiler.frame_done(item.index, item.captured_seconds)
        yield item


def test_recent_times_are_those_of_the_last_frames() -> None:
    clock = FakeClock()
    profiler = Profiler(clock=clock)
    list(recorded(profiler, clock, 170))
    screen = console()
    with screen.capture() as captured:
        screen.print(recent_table(profiler, status="170 frames", counts={"dropped": 3, "repeated": 0}))
    text = captured.get()
    assert "170 frames, 3 dropped" in text and "repeated" not in text
    (camera,) = [line for line in text.splitlines() if "camera" in line]
    assert camera.split()[-3:] == ["500.0", "500.0", "500.0"]  # the first hundred took half as long
    assert "end to end" in text and "codec" in text


def test_every_frame_passes_and_the_table_is_drawn_once_a_second() -> None:
    clock = FakeClock()
    profiler = Profiler(clock=clock)
    screen = console()
    asked: list[int] = []
    passed = show_live(
        recorded(profiler, clock, 12),
        profiler=profiler,
        total=None,
        console=screen,
        counts=lambda: asked.append(1) or {},
        clock=clock,
    )
    assert [item.index for item in passed] == list(range(12))
    assert len(asked) == 3  # 12 frames at 4 frames/s
