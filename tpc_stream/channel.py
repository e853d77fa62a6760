"""Between two threads: what upstream's thread and its consumer share, with the lock around it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Generic, TypeVar

from tpc_stream.drop_policy import Line
from tpc_stream.profile import Profiler, frame_index

T = TypeVar("T")


class Channel(Generic[T]):
    """What both sides share; every field below `changed` is read and written while it is held."""

    def __init__(
        self,
        upstream: Iterable[T],
        line: Line[T],
        name: str,
        profiler: Profiler | None,
        taken: Callable[[T], T] | None,
    ) -> None:
        self.upstream: Iterable[T] | None = upstream
        self.interrupt: Callable[[], None] | None = getattr(upstream, "interrupt", None)
        self.line = line
        self.taken = taken
        self.name = name
        self.profiler = profiler
        self.clock = perf_counter if profiler is None else profiler.clock
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None
        self.stopped = False
        self.finished = False
        self.error: BaseException | None = None
        """What ended the iteration; raised after the items."""
        self.close_error: BaseException | None = None

    def take(self) -> T:
        began = self.clock()
        with self.changed:
            self._begin()
            ready = len(self.line)
            # Waiting without end is safe: run() sets finished whatever happens to upstream.
            while not (self.line or self.finished or self.stopped):
                self.changed.wait()
            if self.line:
                item, queued = self.line.take(asked=began, now=self.clock())
                self.changed.notify_all()
                error = None
                over = False
            else:
                error, self.error = self.error or self.close_error, None
                self.close_error = None
                self.stopped = over = True
        if over:
            if self.profiler is not None:
                self.profiler.waited(f"{self.name} (empty)", began, self.clock())
            if error is None:
                raise StopIteration
            try:
                raise error
            finally:
                error = None  # a traceback that holds its own error is a cycle
        if self.taken is not None:
            item = self.taken(item)
        if self.profiler is not None:
            self.profiler.queue_waited(
                self.name,
                capacity=self.line.capacity,
                began=began,
                ended=self.clock(),
                depth=ready,
                queued=queued,
                index=frame_index(item),
            )
        return item

    def start(self) -> None:
        with self.changed:
            self._begin()

    def peek(self, timeout_seconds: float | None) -> T | None:
        with self.changed:
            self._begin()
            if not self.changed.wait_for(lambda: self.line or self.finished or self.stopped, timeout_seconds):
                raise TimeoutError(f"nothing came within {timeout_seconds} s")
            first = self.line.first()
            error = self.error
            if first is not None or error is None:
                return first
            self.error = None
            self.stopped = True
        try:
            raise error
        finally:
            del error

    def flush(self) -> int:
        with self.changed:
            self.line.clear()
            self.changed.notify_all()
            return self.line.offered

    def stop(self) -> None:
        # Called by the garbage collector too, so it must not wait: the lock is reentrant and never held for long.
        with self.changed:
            self.stopped = True
            self.line.clear()
            self.changed.notify_all()
        if self.interrupt is not None:
            self.interrupt()

    def close(self, timeout_seconds: float | None) -> None:
        self.stop()
        with self.changed:
            thread, upstream = self.thread, self.upstream
            self.upstream = None
            self.error = None  # upstream failed on an item that the consumer never came to
        if thread is None:
            _close(upstream)  # never started: no thread of its own to close it in
            return
        if thread is threading.current_thread():
            return  # upstream closes its own consumer; run() sees the flag as soon as upstream gives way
        thread.join(timeout_seconds)
        if thread.is_alive():
            warnings.warn(
                f"prefetch {self.name!r}: upstream did not come back within {timeout_seconds} s; its thread is left",
                RuntimeWarning,
                stacklevel=3,
            )
            return
        error, self.close_error = self.close_error, None
        if error is not None:
            try:
                raise error
            finally:
                error = None

    def run(self, upstream: Iterable[T]) -> None:
        """The thread: pull while there is room, then close upstream here, then say that it is over."""
        iterator: object = None
        error: BaseException | None = None
        try:
            iterator = producer = iter(upstream)
            while self._room():
                try:
                    item = next(producer)
                except StopIteration:
                    break
                self._put(item)
                del item  # an item is the consumer's alone while this thread waits for room
        except BaseException as caught:
            error = caught
        close_error: BaseException | None = None
        try:
            _close(iterator)
        except BaseException as caught:
            close_error = caught
        if error is not None and close_error is not None:
            error.add_note(f"Closing upstream failed as well: {close_error!r}")
            close_error = None
        with self.changed:
            self.error, self.close_error = error, close_error
            self.finished = True
            self.changed.notify_all()
        error = close_error = None

    def _begin(self) -> None:
        if self.upstream is not None and not self.stopped:
            thread = threading.Thread(target=self.run, args=(self.upstream,), name=self.name, daemon=True)
            thread.start()
            self.thread, self.upstream = thread, None

    def _room(self) -> bool:
        """Wait until one more item may be made; False when nobody wants one."""
        began = self.clock()
        with self.changed:
            while self.line.blocked and not self.stopped:
                self.changed.wait()
            go = not self.stopped
        if go and self.profiler is not None:
            self.profiler.queue_blocked(self.name, capacity=self.line.capacity, began=began, ended=self.clock())
        return go

    def _put(self, item: T) -> None:
        queued = self.clock()
        with self.changed:
            if not self.stopped:
                self.line.put(item, queued)
                self.changed.notify_all()


def _close(iterator: object) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
