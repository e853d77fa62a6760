"""Self time of nested generators: a stage's time less its pulls, and spans that read the stage's busy clock."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from tpc_stream.errors import InputError
from tpc_stream.recording.recorder import Recorder, Scope, ThreadLog, Timer, path_below
from tpc_stream.recording.series import NO_FRAME

X = TypeVar("X")
Y = TypeVar("Y")


class StageTimer:
    """The clock of one stage: entered where the stage is asked for an item, left where it answers.

    It knows nothing of the stage's iterators, so that a stage that is dropped is freed, and closed, at once.
    """

    def __init__(self, profiler: Recorder, path: str, kind: str) -> None:
        self.path = path
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
        self._kind = kind
        self._outer: Scope | None = None
        self._scope: Scope = self
        self._entered = 0.0
        self._busy = 0.0
        self._batch = array("i")
        self._batch_seconds = 0.0
        profiler.register(self)

    def enter(self) -> None:
        thread = self.thread = self.profiler.thread()
        self._outer, thread.scope = thread.scope, self._scope
        self.pulled = 0.0
        self._entered = self.profiler.clock()
        if thread.began is None:
            self.profiler.touch(thread, self._entered)

    def leave(self, frame: int | None) -> None:
        """The stage gave the item of `frame`; None where it gave nothing: its end, an error, its close."""
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
            series = profiler.series_of(self.path, self._kind, thread)
            if frame is None:
                series.add_outside(seconds)
                if ended > self._entered:
                    profiler.spans.add(self.path, thread.number, NO_FRAME, self._entered, ended)
                return
            self.given = True
            series.thread = thread.name
            if self.new_batch:
                self.flush()
                self.new_batch = self._kind == "source"  # a source never pulls: each item stands alone
            self._batch.append(frame)
            self._batch_seconds += seconds
            profiler.spans.add(self.path, thread.number, frame, self._entered, ended)

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
            self.profiler.series_of(self.path, self._kind, thread).add_outside(seconds)

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


class ProfiledStage(Iterator[Y], Generic[Y]):
    """A running stage whose self time is recorded. close() closes the stage, then its upstream."""

    __slots__ = ("_inner", "_key", "_timer", "_upstream")

    def __init__(
        self,
        timer: StageTimer,
        stage: Callable[[Iterable[X]], Iterator[Y]],
        upstream: Iterable[X],
        key: Callable[[Y], int],
    ) -> None:
        self._timer = timer
        self._key = key
        self._upstream = _Pulls(timer, upstream)
        timer.enter()
        try:  # a stage that is no generator may work here already
            self._inner: Iterator[Y] = stage(self._upstream)
        finally:
            timer.leave(None)

    def __next__(self) -> Y:
        self._timer.enter()
        try:
            item = next(self._inner)
        except BaseException:
            self._timer.leave(None)
            raise
        self._timer.leave(self._key(item))
        return item

    def close(self) -> None:
        """End the stage and what it pulls from; safe to call twice."""
        try:
            close = getattr(self._inner, "close", None)
            if close is not None:
                self._timer.enter()
                try:
                    close()
                finally:
                    self._timer.leave(None)
        finally:
            self._upstream.close()


class _Pulls(Iterator[X], Generic[X]):
    """A stage's upstream as the stage sees it: the time of each pull is taken off the stage."""

    __slots__ = ("_iterable", "_iterator", "_timer")

    def __init__(self, timer: StageTimer, upstream: Iterable[X]) -> None:
        self._timer = timer
        self._iterable = upstream
        self._iterator: Iterator[X] | None = None

    def __next__(self) -> X:
        timer, profiler = self._timer, self._timer.profiler
        thread = profiler.thread()
        if thread is not timer.thread:
            raise InputError(
                f"stage {timer.path!r} pulls in thread {thread.name!r} but does not run there; "
                f"put prefetch between profiled stages, not inside one"
            )
        timer.new_batch = True
        inner, thread.scope = thread.scope, None  # what upstream records is not part of this stage
        began = profiler.clock()
        try:
            if self._iterator is None:
                timer.end_set_up(began)
                self._iterator = iter(self._iterable)
            return next(self._iterator)
        finally:
            timer.pulled += profiler.clock() - began
            thread.scope = inner

    def close(self) -> None:
        """Close upstream; its time here is its own."""
        close = getattr(self._iterable if self._iterator is None else self._iterator, "close", None)
        if close is not None:
            close()


class Span:
    """A timed `with` block; made by Profiler.span."""

    __slots__ = ("_frame", "_mark", "_outer", "_profiler", "_thread", "began", "path", "timer")

    def __init__(self, profiler: Recorder, name: str, frame: int) -> None:
        self.path = name
        self.timer: Timer | None = None
        self.began = 0.0
        self._profiler = profiler
        self._frame = frame

    def __enter__(self) -> Self:
        profiler = self._profiler
        thread = self._thread = profiler.thread()
        self._outer = thread.scope
        self.path = path_below(self._outer, self.path)
        self.timer = None if self._outer is None else self._outer.timer
        thread.scope = self
        self.began = profiler.clock()
        if thread.began is None:
            profiler.touch(thread, self.began)
        self._mark = self._own_seconds(self.began)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        profiler, thread = self._profiler, self._thread
        ended = profiler.clock()
        seconds = self._own_seconds(ended) - self._mark
        thread.scope = self._outer
        part = self._outer is not None
        if not part:
            thread.accounted += seconds
            thread.ended = ended
        with profiler.lock:
            profiler.series_of(self.path, "part" if part else "span", thread).add(self._frame, seconds)
            profiler.spans.add(self.path, thread.number, self._frame, self.began, ended)

    def _own_seconds(self, now: float) -> float:
        """A clock that stands still while others work: the stage's, or the thread's less what is accounted."""
        return now - self._thread.accounted if self.timer is None else self.timer.busy_at(now)
