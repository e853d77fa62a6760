"""What a Profiler records into: clocks, columns and queues. Recording formats nothing and may run in any thread."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from threading import RLock, current_thread, local
from typing import Literal, Protocol

from tpc_stream.recording.frame_table import FrameTable
from tpc_stream.recording.ledger import Ledger
from tpc_stream.recording.series import NO_FRAME, QueueSeries, Series, SpanLog

MAX_TRACE_SPANS = 20_000
"""Spans kept with absolute times: about 40 s of 25 fps through 20 stages and spans, half a megabyte."""
FrameEvent = Literal["dropped", "repeated", "held"]
"""Never shown; shown again in place of one that did not come; shown with an older calibration."""


class Timer(Protocol):
    """A stage's clock, as the recorder sees it."""

    pulled: float

    def busy_at(self, now: float) -> float:
        """Seconds the stage has worked until `now`."""

    def flush(self) -> None:
        """Share what was not yet shared; the caller holds the recorder's lock."""


class Scope(Protocol):
    """A stage or a span that a thread is inside of."""

    path: str
    timer: Timer | None


class ThreadLog:
    """What one thread has done so far, and where it is now."""

    __slots__ = ("accounted", "began", "ended", "name", "number", "scope", "waited")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.began: float | None = None
        self.ended = 0.0
        self.accounted = 0.0
        """Seconds of stages, spans of their own, and waits."""
        self.waited = 0.0
        self.scope: Scope | None = None


def path_below(scope: Scope | None, name: str) -> str:
    """The name's place below the stage or span it lies in; a name that already starts so is kept."""
    return name if scope is None or name.startswith(f"{scope.path}/") else f"{scope.path}/{name}"


class Recorder:
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
        self.timers: list[Timer] = []
        self.done_frames = array("i")
        self.done_seconds = array("d")
        self.ledger = Ledger()
        self.events: dict[FrameEvent, array[int]] = {"dropped": array("i"), "repeated": array("i"), "held": array("i")}
        self.counters: dict[str, int] = {}
        self.notes: dict[str, object] = {}
        self.table = FrameTable()
        self._local = local()

    def start(self) -> None:
        """Start the wall clock now; otherwise the first event starts it. Time to first frame counts from here."""
        self.touch(self.thread(), self.clock())

    def add_duration(self, name: str, seconds: float, index: int | None = None) -> None:
        """Record seconds measured elsewhere, such as between two events of a device; named like a span."""
        thread = self.thread()
        path = path_below(thread.scope, name)
        with self.lock:
            self.series_of(path, "measured", thread).add(NO_FRAME if index is None else index, seconds)

    def queue_blocked(self, name: str, *, capacity: int, began: float, ended: float) -> None:
        """A queue's producer waited for room from began to ended, in seconds of `clock`; also when it did not wait.

        In a thread that does nothing else between its items, handing the last one over, which waits for the lock and
        for the interpreter, is part of the thread's waiting.
        """
        with self.lock:
            self._queue(name, capacity).blocked.add(NO_FRAME, ended - began)
        thread = self.thread()
        if thread.scope is None and thread.began is not None:
            began = min(began, thread.ended)
        self.waited(f"{name} (full)", began, ended)

    def queue_waited(
        self, name: str, *, capacity: int, began: float, ended: float, depth: int, queued: float, index: int
    ) -> None:
        """A queue's consumer waited for an item that came in at `queued`; depth: the items ready when it came."""
        with self.lock:
            queue = self._queue(name, capacity)
            queue.waited.add(index, ended - began)
            queue.residence.add(index, ended - queued)
            queue.saw(depth)
            self.ledger.add(index, queue=ended - queued)
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
            self.ledger.close(index, now - captured_seconds)
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

    def frame_event(self, event: FrameEvent, first: int, last: int | None = None) -> None:
        """Count the frames from `first` to `last`, itself included, as dropped, repeated or held, and keep which.

        Dropped frames have no index of their own: they are told by their place among all that the source gave.
        """
        with self.lock:
            self.events[event].extend(range(first, (first if last is None else last) + 1))

    def note(self, **values: object) -> None:
        """Keep facts of the whole run: options, versions, the machine. Values as JSON has them."""
        with self.lock:
            self.notes.update(values)

    # What follows serves selftime.py.

    def thread(self) -> ThreadLog:
        log: ThreadLog | None = getattr(self._local, "log", None)
        if log is None:
            with self.lock:
                log = ThreadLog(current_thread().name, len(self.threads))
                self.threads.append(log)
            self._local.log = log
        return log

    def register(self, timer: Timer) -> None:
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
