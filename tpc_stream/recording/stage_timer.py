"""The clock of one stage: its self time, item by item, and its part of each frame's own way.

A frame's stay in the stage, from the pull that brought it to the moment the stage gives it, is the stage's work, its
pulls for other frames, and the rest, in which others had their turn.
"""

from __future__ import annotations

from array import array

from tpc_stream.recording.ledger import MAX_OPEN_FRAMES
from tpc_stream.recording.recorder import Recorder, Scope, ThreadLog, Timer
from tpc_stream.recording.series import NO_FRAME

LEAST_TRACE_SECONDS = 50e-6
"""Work between two pulls that is shorter is not drawn: taking a frame into a window, 25 times a second."""


class StageTimer:
    """The clock of one stage: entered where the stage is asked for an item, left where it answers.

    It knows nothing of the stage's iterators, so that a stage that is dropped is freed, and closed, at once.
    """

    def __init__(self, profiler: Recorder, path: str, kind: str, *, codec: bool = False) -> None:
        self.path = path
        self.kind = kind
        self.pulled = 0.0
        """Seconds since the stage was entered that are not its item's: pulls, waits and set-up."""
        self.thread: ThreadLog | None = None
        """The thread that is inside the stage now."""
        self.timer: Timer | None = self
        self.profiler = profiler
        self.new_batch = True
        """Set by a pull: what the stage gives next is the first of a new batch."""
        self.given = False
        """Whether the stage has given an item."""
        self._codec = codec
        self._outer: Scope | None = None
        self._scope: Scope = self
        self._entered = 0.0
        self._worked_since = 0.0
        """When the work began that goes on now: at the entry, or when the last pull ended."""
        self._busy = 0.0
        self._pulls = 0.0
        """Seconds of all pulls so far."""
        self._inside: dict[int, tuple[float, float, float]] = {}
        """Frames in the stage: when each came, and the busy and the pull clock then."""
        self._batch = array("i")
        self._batch_seconds = 0.0
        profiler.register(self)

    def enter(self) -> None:
        thread = self.thread = self.profiler.thread()
        self._outer, thread.scope = thread.scope, self._scope
        self.pulled = 0.0
        self._entered = self._worked_since = self.profiler.clock()
        if thread.began is None:
            self.profiler.touch(thread, self._entered)

    def leave(self, frame: int | None, captured: float | None = None) -> None:
        """The stage gave the item of `frame`; None where it gave nothing: its end, an error, its close.

        captured: when the frame was captured, seconds of the profiler's clock; of a source's items only.
        """
        profiler, thread = self.profiler, self.thread
        ended = profiler.clock()
        if thread is None:
            return
        seconds = ended - self._entered - self.pulled
        self._busy += seconds
        thread.accounted += seconds
        thread.ended = ended
        # A span may be open across a yield: its scope comes back with the next item.
        self._scope, thread.scope = thread.scope or self, self._outer
        self.thread = self._outer = None
        with profiler.lock:
            series = profiler.series_of(self.path, self.kind, thread)
            if frame is None:
                series.add_outside(seconds)
                self._trace(thread, ended)
                return
            self.given = True
            series.thread = thread.name
            if self.new_batch:
                self.flush()
                self.new_batch = self.kind == "source"  # a source never pulls: each item stands alone
            self._batch.append(frame)
            self._batch_seconds += seconds
            profiler.spans.add(self.path, thread.number, frame, self._worked_since, ended)
            if captured is not None:
                profiler.ledger.captured(frame, ended - captured)
            else:
                self._account(frame, seconds, ended)

    def _account(self, frame: int, seconds: float, ended: float) -> None:
        """Books the frame's stay; `seconds`: the work since the stage was entered, all that a new frame can have."""
        came = self._inside.pop(frame, None)
        structural = queue = 0.0
        if came is not None:
            seconds, structural = self._busy - came[1], self._pulls - came[2]
            queue = max(0.0, ended - came[0] - seconds - structural)
            while self._inside and (first := next(iter(self._inside))) < frame:
                del self._inside[first]  # frames leave in order: this one was dropped
        if self._codec:
            self.profiler.ledger.add(frame, structural, queue, codec=seconds)
        else:
            self.profiler.ledger.add(frame, structural, queue, compute=seconds)

    def pulls(self, now: float) -> None:
        """The stage asks upstream for an item."""
        self.new_batch = True
        if self.thread is not None and now - self._worked_since >= LEAST_TRACE_SECONDS:
            with self.profiler.lock:
                self._trace(self.thread, now)

    def pulled_until(self, began: float, ended: float) -> None:
        """Upstream has answered."""
        self.pulled += ended - began
        self._pulls += ended - began
        self._worked_since = ended

    def took(self, frame: int, now: float) -> None:
        """Upstream has given the item of `frame`."""
        if frame == NO_FRAME:
            return
        self._inside[frame] = now, self.busy_at(now), self._pulls
        if len(self._inside) > MAX_OPEN_FRAMES:
            del self._inside[next(iter(self._inside))]

    def _trace(self, thread: ThreadLog, now: float) -> None:
        if now > self._worked_since:
            self.profiler.spans.add(self.path, thread.number, NO_FRAME, self._worked_since, now)

    def end_set_up(self, now: float) -> None:
        """The stage pulls for the first time: what it did until now is no frame's work, but set-up."""
        thread = self.thread
        if thread is None or self.given:
            return
        seconds = now - self._entered - self.pulled
        self._busy += seconds
        self.pulled += seconds
        thread.accounted += seconds
        with self.profiler.lock:
            self.profiler.series_of(self.path, self.kind, thread).add_outside(seconds)

    def busy_at(self, now: float) -> float:
        """Seconds the stage has worked until `now`."""
        return self._busy if self.thread is None else self._busy + (now - self._entered - self.pulled)

    def flush(self) -> None:
        """Share the last batch's time among its items; the caller holds the profiler's lock."""
        if self._batch:
            series = self.profiler.series[self.path]
            if len(self._batch) == 1:
                series.add(self._batch[0], self._batch_seconds)
            else:
                series.add_batch(self._batch, self._batch_seconds)
            self._batch = array("i")
            self._batch_seconds = 0.0
