"""The only owner of threads: runs the stages upstream of it in a thread of their own, a bounded number of items ahead.

Seen from outside it changes nothing but the timing: the same items in the same order, then the same end or the
same error. What upstream did ahead and the consumer never came to is dropped, as if it had not been pulled.
Behind a live source it may also drop what nobody came for in time: see drop_policy.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Self, TypeVar

from tpc_stream.channel import Channel
from tpc_stream.drop_policy import Line
from tpc_stream.errors import InputError
from tpc_stream.profile import Profiler

T = TypeVar("T")

MAX_DEPTH = 65_535
"""Depths are recorded in 16 bits; a sensible queue holds a few windows."""


def prefetch(
    upstream: Iterable[T],
    *,
    depth: int,
    name: str,
    profiler: Profiler | None = None,
    line: Line[T] | None = None,
    taken: Callable[[T], T] | None = None,
) -> Prefetch[T]:
    """Iterate over `upstream` in a daemon thread called `name`; at most `depth` items are made ahead of the consumer.

    The thread starts at the first pull. An error upstream, of whatever kind, is raised here with its own traceback
    after the items that came before it. `close()`, or leaving the `with` block, stops the thread, closes upstream
    in that thread, and joins it; an iterator that is merely dropped tells its thread to stop and does not wait.
    With a profiler, both sides' waits and the queue's depth are recorded under `name`.

    line: where items wait, of that depth; None: nothing is dropped. taken: makes of each item what the consumer gets,
    in the consumer's thread. An upstream with a method `interrupt()` has it called, from whatever thread, when
    nothing more is wanted: it must return at once and make a wait inside upstream's next() end soon.
    """
    if not 1 <= depth <= MAX_DEPTH:
        raise InputError(f"a prefetch queue's depth is 1 to {MAX_DEPTH} items, got {depth = } for {name!r}")
    return Prefetch(Channel(upstream, Line(capacity=depth) if line is None else line, name, profiler, taken))


class Prefetch(Iterator[T], Generic[T]):
    """The consumer's end; made by prefetch()."""

    def __init__(self, channel: Channel[T]) -> None:
        self._channel = channel
        # The thread knows the channel only, so dropping this object is seen, and stops the thread.
        self._drop = weakref.finalize(self, channel.stop)

    def __next__(self) -> T:
        return self._channel.take()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to make items ahead, before the first is pulled."""
        self._channel.start()

    def peek(self, *, timeout_seconds: float | None = None) -> T | None:
        """What would be pulled next, and stays to be pulled; None at the end. Raises what upstream raised.

        Raises TimeoutError where nothing comes within timeout_seconds.
        """
        return self._channel.peek(timeout_seconds)

    def flush(self) -> int:
        """Forget what waits, as if it had not been made; returns how many items were made so far."""
        return self._channel.flush()

    @property
    def made(self) -> int:
        """Items that upstream has given so far, dropped ones included."""
        return self._channel.line.offered

    def stop(self) -> None:
        """Tell it to end, and do not wait: the thread ends soon, and a consumer that waits for an item sees the end."""
        self._channel.stop()

    def close(self, *, timeout_seconds: float | None = 10.0) -> None:
        """Stop early: no item more. Raises what upstream's own close raised. Safe to call twice.

        Where upstream does not come back from a read within timeout_seconds, a RuntimeWarning says so and the
        daemon thread is left behind; it ends when the read does. None: it is waited for, as what computes will end.
        """
        self._drop.detach()
        self._channel.close(timeout_seconds)
