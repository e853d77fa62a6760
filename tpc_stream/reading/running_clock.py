"""A source's times, continued over what breaks them: jumps, repetitions, connections that were lost and found."""

from __future__ import annotations

from fractions import Fraction

from tpc_stream.reading.source_info import SourceReport

RESTART_SECONDS = Fraction(1, 2)
"""A time stamp that lies farther back than this starts the clock anew; nearer ones are single stamps that are wrong."""
FORWARD_SECONDS = 5
"""A live source's stamps may run ahead of the clock on the wall by so much (a burst of buffered frames), no more."""


class RunningClock:
    """Strictly rising times. What the source says holds, but for a shift that changes where its clock jumps."""

    def __init__(self, *, step: Fraction, report: SourceReport) -> None:
        """step: seconds from one frame to the next where nothing better is known."""
        self._step = step
        self._report = report
        self._last: Fraction | None = None
        self._captured: float | None = None
        self._shift = self._shift_before = Fraction(0)
        self._lost = False

    def lost(self) -> None:
        """The connection broke: the next frame comes as much later as it was captured later, whatever it says."""
        self._lost = self._last is not None

    def place(self, stated: Fraction | None, captured: float | None = None) -> tuple[Fraction, bool]:
        """When the next frame is to be shown, in seconds, and whether the source itself said so.

        stated: what the source says, None where it says nothing. captured: when a live source's frame came.
        """
        time, own = self._placed(stated, captured)
        self._report.repaired_times += not own
        self._last, self._captured = time, captured
        return time, own

    def _placed(self, stated: Fraction | None, captured: float | None) -> tuple[Fraction, bool]:
        last = self._last
        if last is None:
            return (Fraction(0), False) if stated is None else (stated, True)
        if stated is None and not self._lost:
            return last + self._step, False
        gap = self._step
        if captured is not None and self._captured is not None:
            gap = max(gap, Fraction(round(1000 * (captured - self._captured)), 1000))
        if self._lost or stated is None:
            self._lost = False
            if stated is not None:
                self._shift = self._shift_before = last + gap - stated
            return last + gap, stated is not None
        ahead = stated + self._shift - last
        earlier = stated + self._shift_before - last
        if abs(ahead) > RESTART_SECONDS and 0 < earlier <= RESTART_SECONDS:
            self._shift, self._shift_before = self._shift_before, self._shift  # it was one wrong stamp, no new clock
            return last + earlier, True
        if ahead < -RESTART_SECONDS or (captured is not None and ahead > gap + FORWARD_SECONDS):
            self._report.clock_restarts += 1
            self._shift_before, self._shift = self._shift, last + gap - stated
            return last + gap, True
        return (last + ahead, True) if ahead > 0 else (last + self._step, False)
