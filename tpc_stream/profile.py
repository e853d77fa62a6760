"""Where the time goes: a Profiler records while frames pass, and formats nothing; session() gives plain data.

Self time is the time inside a stage less the time it spends pulling from upstream, so stages add up instead of
containing one another. A stage may take several items before it gives several: outputs that follow one another
without a pull between them form a batch, and the batch's time is shared equally among them.
Works across threads, as long as each stage runs in one: put `prefetch` between stages, never inside one.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from threading import RLock, current_thread, local
from typing import TypeVar

from tpc_stream.errors import InputError
from tpc_stream.recording.selftime import ProfiledStage, Span, StageTimer, ThreadLog, path_below
from tpc_stream.recording.series import NO_FRAME, FrameTable, QueueSeries, Series, SpanLog
from tpc_stream.recording.session import Session
from tpc_stream.recording.summary import summarise

__all__ = ["NO_FRAME", "ProfiledStage", "Profiler", "Session", "Span", "frame_index"]

X = TypeVar("X")
Y = TypeVar("Y")

MAX_TRACE_SPANS = 20_000
"""Spans kept with absolute times: about 40 s of 25 fps through 20 stages and spans, half a megabyte."""


def frame_index(item: object) -> int:
    """The global index of a Frame, or of what carries one as `.frame`; NO_FRAME for anything else."""
    index = getattr(item, "index", None)
    if not isinstance(index, int):  # a tuple's or a list's `index` is a method
        index = getattr(getattr(item, "frame", None), "index", None)
    return index if isinstance(index, int) else NO_FRAME


class Profiler:
    """Records durations; methods may be called from any thread."""

    def __init__(
        self, *, clock: Callable[[], float] = time.perf_counter, max_trace_spans: int = MAX_TRACE_SPANS
    ) -> None:
        self.clock = clock
        self.lock = RLock()  # reentrant: the garbage collector may close a stage, with its open spans, anywhere
        self.began: float | None = None
        self.threads: list[ThreadLog] = []
        self.series: dict[str, Series] = {}
        self.queues: dict[str, QueueSeries] = {}
        self.spans = SpanLog(max_trace_spans)
        self.timers: list[StageTimer] = []
        self.done_frames = array("i")
        self.done_seconds = array("d")
        self.end_to_end_seconds = array("f")
        self.counters: dict[str, int] = {}
        self.notes: dict[str, object] = {}
        self.table = FrameTable()
        self._local = local()

    def start(self) -> None:
        """Start the wall clock now; otherwise the first event starts it. Time to first frame counts from here."""
        self.touch(self.thread(), self.clock())

    def stage(
        self,
        name: str,
        stage: Callable[[Iterable[X]], Iterator[Y]],
        upstream: Iterable[X],
        *,
        key: Callable[[Y], int] = frame_index,
    ) -> ProfiledStage[Y]:
        """Run `stage` on `upstream` and record its self time per item it gives; `key` tells an item's frame index."""
        return ProfiledStage(StageTimer(self, name, "stage"), stage, upstream, key)

    def source(self, name: str, items: Iterable[Y], *, key: Callable[[Y], int] = frame_index) -> ProfiledStage[Y]:
        """Record what makes the items: like a stage, but its time lies before the frame's capture time."""
        return ProfiledStage(StageTimer(self, name, "source"), lambda _: iter(items), (), key)

    def span(self, name: str, index: int | None = None) -> Span:
        """Time a `with` block. Inside a stage or span its name goes below theirs: "denoise/reference"; a name that
        already starts so is kept. Pulls, and yields to downstream, inside a stage's span are not counted."""
        return Span(self, name, NO_FRAME if index is None else index)

    def add_duration(self, name: str, seconds: float, index: int | None = None) -> None:
        """Record seconds measured elsewhere, such as between two events of a device; named like a span."""
        thread = self.thread()
        path = path_below(thread.scope, name)
        with self.lock:
            self.series_of(path, "measured", thread).add(NO_FRAME if index is None else index, seconds)

    def queue_blocked(self, name: str, *, capacity: int, began: float, ended: float) -> None:
        """A queue's producer waited for room from began to ended, in seconds of `clock`; also when it did not wait."""
        with self.lock:
            self._queue(name, capacity).blocked.add(NO_FRAME, ended - began)
        self.waited(f"{name} (full)", began, ended)

    def queue_waited(
        self, name: str, *, capacity: int, began: float, ended: float, depth: int, queued: float, index: int
    ) -> None:
        """A queue's consumer waited for an item that came in at `queued`; depth: the items ready when it came."""
        with self.lock:
            queue = self._queue(name, capacity)
            queue.waited.add(index, ended - began)
            queue.residence.add(index, ended - queued)
            queue.depths.append(depth)
        self.waited(f"{name} (empty)", began, ended)

    def waited(self, name: str, began: float, ended: float) -> None:
        """This thread waited, for room, for an item or for the end: neither work nor unaccounted."""
        thread = self.thread()
        seconds = ended - began
        self.touch(thread, began)
        thread.ended = ended
        thread.accounted += seconds
        thread.waited += seconds
        if thread.scope is not None and thread.scope.timer is not None:
            thread.scope.timer.pulled += seconds  # a stage that waits is not at work
        if seconds > 0:
            with self.lock:
                self.spans.add(name, thread.number, NO_FRAME, began, ended)

    def frame_done(self, index: int, captured_seconds: float) -> None:
        """The sink has taken a frame: end to end is now less captured_seconds, a reading of the same clock."""
        now = self.clock()
        thread = self.thread()
        with self.lock:
            self.done_frames.append(index)
            self.done_seconds.append(now)
            self.end_to_end_seconds.append(now - captured_seconds)
        self.touch(thread, now)
        thread.ended = now

    def frame_record(self, index: int, **values: float | str) -> None:
        """Keep facts of one frame, such as iou=0.93, status="held"; calls for one index are merged.

        A column holds numbers or texts, not both; a number that is not finite counts as no value.
        """
        with self.lock:
            self.table.put(index, values)

    def count(self, name: str, by: int = 1) -> None:
        """Count events, such as dropped, held or corrupt frames."""
        with self.lock:
            self.counters[name] = self.counters.get(name, 0) + by

    def note(self, **values: object) -> None:
        """Keep facts of the whole run: options, versions, the machine. Values as JSON has them."""
        with self.lock:
            self.notes.update(values)

    def session(self, *, fps: float | None = None) -> Session:
        """What was recorded so far, as plain data; with fps also which frames came too late for that rate."""
        if fps is not None and not fps > 0:
            raise InputError(f"fps is above 0, got {fps}; leave it out if the source has no rate")
        with self.lock:
            for timer in self.timers:
                timer.flush()
            return summarise(self, fps=fps)

    # What follows serves selftime.py.

    def thread(self) -> ThreadLog:
        log: ThreadLog | None = getattr(self._local, "log", None)
        if log is None:
            with self.lock:
                log = ThreadLog(current_thread().name, len(self.threads))
                self.threads.append(log)
            self._local.log = log
        return log

    def register(self, timer: StageTimer) -> None:
        with self.lock:
            self.timers.append(timer)

    def touch(self, thread: ThreadLog, began: float) -> None:
        if thread.began is None:
            thread.began = thread.ended = began
            if self.began is None or began < self.began:
                self.began = began

    def series_of(self, path: str, kind: str, thread: ThreadLog) -> Series:
        series = self.series.get(path)
        if series is None:
            series = self.series[path] = Series(kind, thread.name)
        return series

    def _queue(self, name: str, capacity: int) -> QueueSeries:
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = QueueSeries(capacity)
        return queue
