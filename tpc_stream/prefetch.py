"""The only owner of threads: runs the stages upstream of it in a thread of their own, a bounded number of items ahead.

Seen from outside it changes nothing but the timing: the same items in the same order, then the same end or the
same error. What upstream did ahead and the consumer never came to is dropped, as if it had not been pulled.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Generic, Self, TypeVar

from tpc_stream.errors import InputError
from tpc_stream.profile import Profiler, frame_index

T = TypeVar("T")

MAX_DEPTH = 65_535
"""Depths are recorded in 16 bits; a sensible queue holds a few windows."""


def prefetch(upstream: Iterable[T], *, depth: int, name: str, profiler: Profiler | None = None) -> Prefetch[T]:
    """Iterate over `upstream` in a daemon thread called `name`; at most `depth` items are made ahead of the consumer.

    The thread starts at the first pull. An error upstream, of whatever kind, is raised here with its own traceback
    after the items that came before it. `close()`, or leaving the `with` block, stops the thread, closes upstream
    in that thread, and joins it; an iterator that is merely dropped tells its thread to stop and does not wait.
    With a profiler, both sides' waits and the queue's depth are recorded under `name`.
    """
    if not 1 <= depth <= MAX_DEPTH:
        raise InputError(f"a prefetch queue's depth is 1 to {MAX_DEPTH} items, got {depth = } for {name!r}")
    return Prefetch(_Channel(upstream, depth, name, profiler))


class Prefetch(Iterator[T], Generic[T]):
    """The consumer's end; made by prefetch()."""

    def __init__(self, channel: _Channel[T]) -> None:
        self._channel = channel
        # The thread knows the channel only, so dropping this object is seen, and stops the thread.
        self._drop = weakref.finalize(self, channel.stop)

    def __next__(self) -> T:
        return self._channel.take()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, timeout_seconds: float = 10.0) -> None:
        """Stop early: no item more. Raises what upstream's own close raised. Safe to call twice.

        Where upstream does not come back from a read within timeout_seconds, a RuntimeWarning says so and the
        daemon thread is left behind; it ends when the read does.
        """
        self._drop.detach()
        self._channel.close(timeout_seconds)


class _Channel(Generic[T]):
    """What both sides share; every field below `changed` is read and written while it is held."""

    def __init__(self, upstream: Iterable[T], depth: int, name: str, profiler: Profiler | None) -> None:
        self.upstream: Iterable[T] | None = upstream
        self.depth = depth
        self.name = name
        self.profiler = profiler
        self.clock = perf_counter if profiler is None else profiler.clock
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None
        self.items: deque[tuple[T, float]] = deque()
        self.stopped = False
        self.finished = False
        self.error: BaseException | None = None
        """What ended the iteration; raised after the items."""
        self.close_error: BaseException | None = None

    def take(self) -> T:
        began = self.clock()
        with self.changed:
            self._start()
            ready = len(self.items)
            # Waiting without end is safe: run() sets finished whatever happens to upstream.
            while not (self.items or self.finished or self.stopped):
                self.changed.wait()
            if self.items:
                item, queued = self.items.popleft()
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
        if self.profiler is not None:
            self.profiler.queue_waited(
                self.name,
                capacity=self.depth,
                began=began,
                ended=self.clock(),
                depth=ready,
                queued=queued,
                index=frame_index(item),
            )
        return item

    def stop(self) -> None:
        # Called by the garbage collector too, so it must not wait: the lock is reentrant and never held for long.
        with self.changed:
            self.stopped = True
            self.items.clear()
            self.changed.notify_all()

    def close(self, timeout_seconds: float) -> None:
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

    def _start(self) -> None:
        if self.upstream is not None and not self.stopped:
            thread = threading.Thread(target=self.run, args=(self.upstream,), name=self.name, daemon=True)
            thread.start()
            self.thread, self.upstream = thread, None

    def _room(self) -> bool:
        """Wait until one more item may be made; False when nobody wants one."""
        began = self.clock()
        with self.changed:
            while len(self.items) >= self.depth and not self.stopped:
                self.changed.wait()
            go = not self.stopped
        if go and self.profiler is not None:
            self.profiler.queue_blocked(self.name, capacity=self.depth, began=began, ended=self.clock())
        return go

    def _put(self, item: T) -> None:
        queued = self.clock()
        with self.changed:
            if not self.stopped:
                self.items.append((item, queued))
                self.changed.notify_all()


def _close(iterator: object) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
