"""Times that run on, whatever the source's clock does."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from tpc_stream.reading.running_clock import RunningClock
from tpc_stream.reading.source_info import SourceReport

STEP = Fraction(1, 25)


def placed(stamps: list[Fraction | None], *, report: SourceReport | None = None) -> list[Fraction]:
    clock = RunningClock(step=STEP, report=report or SourceReport())
    return [clock.place(stamp)[0] for stamp in stamps]


def test_good_times_are_left_alone() -> None:
    report = SourceReport()
    times = [Fraction(k * 1001, 30_000) for k in range(100)]
    assert placed(list(times), report=report) == times
    assert report == SourceReport()
    gap = [Fraction(0), Fraction(1, 25), Fraction(100)]  # a file may have a hole
    assert placed(list(gap), report=report) == gap


def test_a_clock_that_starts_anew_runs_on() -> None:
    report = SourceReport()
    stamps = [100 + k * STEP for k in range(5)] + [k * STEP for k in range(5)] + [50 + k * STEP for k in range(3)]
    times = placed(list(stamps), report=report)
    assert times[:10] == [100 + k * STEP for k in range(10)]
    assert report.clock_restarts == 1 and report.repaired_times == 0
    assert all(later > earlier for earlier, later in pairwise(times))


def test_one_wrong_stamp_moves_no_other() -> None:
    report = SourceReport()
    stamps = [10 + k * STEP for k in range(10)]
    stamps[4] = Fraction(0)
    times = placed(list(stamps), report=report)
    assert times == [10 + k * STEP for k in range(10)]


def test_repeated_stamps_and_none_are_filled_in() -> None:
    report = SourceReport()
    times = placed([Fraction(1), Fraction(1), None, Fraction(2)], report=report)
    assert times == [1, 1 + STEP, 1 + 2 * STEP, 2]
    assert report.repaired_times == 2


def test_after_a_lost_connection_times_go_on_as_much_later_as_the_frames_came() -> None:
    clock = RunningClock(step=STEP, report=SourceReport())
    assert clock.place(Fraction(500), 7.0) == (500, True)
    clock.lost()
    assert clock.place(Fraction(3), 9.5) == (Fraction("502.5"), True)
    assert clock.place(3 + STEP, 9.54) == (Fraction("502.5") + STEP, True)


def test_a_live_clock_that_leaps_ahead_of_the_wall_is_held() -> None:
    report = SourceReport()
    clock = RunningClock(step=STEP, report=report)
    clock.place(Fraction(0), 0.0)
    time, _ = clock.place(Fraction(3600), 0.04)
    assert time == pytest.approx(0.04) and report.clock_restarts == 1
    burst = RunningClock(step=STEP, report=SourceReport())  # buffered frames come at once, with times apart
    assert [burst.place(k * STEP, 0.0)[0] for k in range(20)] == [k * STEP for k in range(20)]
