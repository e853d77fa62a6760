"""Self time of nested generators: a stage's time less its pulls, and spans that read the stage's busy clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from tpc_stream.errors import InputError
from tpc_stream.recording.recorder import Recorder, Timer, path_below
from tpc_stream.recording.series import NO_FRAME
from tpc_stream.recording.stage_timer import StageTimer

X = TypeVar("X")
Y = TypeVar("Y")


def frame_index(item: object) -> int:
    """The global index of a Frame, or of what carries one as `.frame`; NO_FRAME for anything else."""
    index = getattr(item, "index", None)
    if not isinstance(index, int):  # a tuple's or a list's `index` is a method
        index = getattr(getattr(item, "frame", None), "index", None)
    return index if isinstance(index, int) else NO_FRAME


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
        timer = self._timer
        timer.leave(self._key(item), getattr(item, "captured_seconds", None) if timer.kind == "source" else None)
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
        inner, thread.scope = thread.scope, None  # what upstream records is not part of this stage
        began = ended = profiler.clock()
        timer.pulls(began)
        try:
            if self._iterator is None:
                timer.end_set_up(began)
                self._iterator = iter(self._iterable)
            item = next(self._iterator)
        finally:
            ended = profiler.clock()
            timer.pulled_until(began, ended)
            thread.scope = inner
        timer.took(frame_index(item), ended)
        return item

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
            if not part:
                profiler.ledger.add(self._frame, compute=seconds)
            profiler.spans.add(self.path, thread.number, self._frame, self.began, ended)

    def _own_seconds(self, now: float) -> float:
        """A clock that stands still while others work: the stage's, or the thread's less what is accounted."""
        return now - self._thread.accounted if self.timer is None else self.timer.busy_at(now)
