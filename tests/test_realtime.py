"""A file as a stand-in camera, on a clock of our own."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from tests.fake_clock import FakeClock
from tpc_stream.frame import Frame
from tpc_stream.reading.realtime import SLICE_SECONDS, RealtimeFrames


def frames(count: int, *, rate: int = 8, closed: list[bool] | None = None) -> Iterator[Frame]:
    try:
        for k in range(count):
            yield Frame(k, Fraction(k, rate), np.zeros((2, 2, 3), np.uint8), -1.0)
    finally:
        if closed is not None:
            closed.append(True)


def test_frames_come_when_a_camera_would_have_captured_them() -> None:
    clock = FakeClock(100.0)
    times = []
    for frame in RealtimeFrames(frames(5), clock=clock, sleep=clock.advance):
        times.append(clock())
        assert frame.captured_seconds == pytest.approx(100 + frame.index / 8)
    assert times == pytest.approx([100 + k / 8 for k in range(5)])


def test_a_slow_consumer_gets_late_frames_with_their_own_capture_times() -> None:
    clock = FakeClock(100.0)
    late = []
    for frame in RealtimeFrames(frames(9), clock=clock, sleep=clock.advance):
        late.append(clock() - frame.captured_seconds)
        clock.advance(0.25)
    assert late == pytest.approx([k / 8 for k in range(9)])  # the source never waits: an eighth later with each frame


def test_the_wait_for_a_frame_can_be_interrupted() -> None:
    clock, slept, closed = FakeClock(), [], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)
        if len(slept) == 3:
            played.interrupt()

    played = RealtimeFrames(frames(2, rate=1, closed=closed), clock=clock, sleep=sleep)
    assert [frame.index for frame in played] == [0]
    assert max(slept) <= SLICE_SECONDS and len(slept) == 3
    assert closed == [True]
