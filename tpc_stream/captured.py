"""Between a source that does not wait and the pipeline: a short queue with a drop policy, and the frames' numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from tpc_stream.drop_policy import CAPACITY_FRAMES, DropPolicy, Line
from tpc_stream.frame import Frame
from tpc_stream.prefetch import prefetch
from tpc_stream.profile import Profiler
from tpc_stream.reading.source_info import SourceReport

QUEUE_NAME = "captured"
CLOSE_SECONDS = 2.0
"""How long the reader may take to end: a stalled connection is given up after 1.5 s."""


class _Timed:
    """The source, with the time until each frame comes recorded as waiting: its thread does little else."""

    def __init__(self, source: Iterable[Frame], profiler: Profiler) -> None:
        self._source, self._profiler = source, profiler

    def __iter__(self) -> Iterator[Frame]:
        iterator, clock = iter(self._source), self._profiler.clock
        try:
            while True:
                began = clock()
                frame = next(iterator, None)
                self._profiler.waited(f"{QUEUE_NAME} (source)", began, clock())
                if frame is None:
                    return
                yield frame
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def interrupt(self) -> None:
        interrupt = getattr(self._source, "interrupt", None)
        if interrupt is not None:
            interrupt()


class CapturedFrames:
    """The frames that the policy lets through, numbered 0, 1, 2, ... without gaps, read in a thread of their own.

    Their numbers are the pipeline's: groups, windows and noise are functions of them. Which frame of the source each
    one is, `report.dropped` tells exactly.
    """

    def __init__(
        self,
        source: Iterable[Frame],
        *,
        policy: DropPolicy,
        report: SourceReport,
        end_seconds: Fraction | None = None,
        max_frames: int | None = None,
        profiler: Profiler | None = None,
    ) -> None:
        """report: filled in while the frames pass. end_seconds, max_frames: when to stop, over the frames kept."""
        self._report = report
        report.policy = policy
        self._end, self._max = end_seconds, max_frames
        self._line: Line[Frame] = Line(capacity=CAPACITY_FRAMES, policy=policy, lost=self._note_dropped)
        self._queue = prefetch(
            source if profiler is None else _Timed(source, profiler),
            depth=CAPACITY_FRAMES,
            name=QUEUE_NAME,
            profiler=profiler,
            line=self._line,
            taken=self._number,
        )
        self._before = 0
        """Frames that came before the run began: they count nowhere."""
        self._running = False
        self._given = 0
        self._origin: Fraction | None = None

    def first(self, *, timeout_seconds: float | None = None) -> Frame | None:
        """Waits for the first frame, which stays in the queue; None if there is none. Raises what the source raised."""
        return self._queue.peek(timeout_seconds=timeout_seconds)

    def __iter__(self) -> Iterator[Frame]:
        """The frames from now on. What came until now is forgotten, unless the policy is to drop nothing."""
        if self._line.policy != "none" and not self._running:
            self._before = self._queue.flush()
        self._running = True
        for frame in self._queue:
            if self._end is not None and frame.pts_seconds >= self._end:
                return
            self._count()
            yield frame
            if self._given == self._max:
                return

    def stop(self) -> None:
        """Ends soon, without waiting for it."""
        self._queue.stop()

    def close(self) -> None:
        """Ends the reader and waits for its thread, CLOSE_SECONDS at most."""
        self._queue.close(timeout_seconds=CLOSE_SECONDS)
        if self._running:
            self._count()

    def _number(self, frame: Frame) -> Frame:
        if self._origin is None:
            self._origin = frame.pts_seconds
        frame = replace(frame, index=self._given, pts_seconds=frame.pts_seconds - self._origin)
        self._given += 1
        return frame

    def _note_dropped(self, frame: Frame, number: int) -> None:
        if self._running and number >= self._before:
            self._report.dropped.add(number - self._before)

    def _count(self) -> None:
        self._report.frames = self._queue.made - self._before
