"""The thread behind prefetch: same items, same end, same errors, and never a hang."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import pytest

from tests.fake_clock import time_limit
from tpc_stream.errors import InputError
from tpc_stream.prefetch import prefetch
from tpc_stream.profile import Profiler


@pytest.fixture(autouse=True)
def hard_limit() -> Iterator[None]:
    """Every test here ends within 20 s, and leaves no thread behind."""
    before = set(threading.enumerate())
    with time_limit(20):
        yield
        left = set(threading.enumerate()) - before
        assert not left, f"threads left behind: {left}"


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.001)


class Upstream:
    """Counts what is pulled, and says when and in which thread it was closed."""

    def __init__(self, count: int, *, fail_at: int | None = None, error: BaseException | None = None) -> None:
        self.pulled = 0
        self.closed_in: list[str] = []
        self._count, self._fail_at, self._error = count, fail_at, error

    def __iter__(self) -> Iterator[int]:
        try:
            for k in range(self._count):
                self.pulled += 1
                if k == self._fail_at and self._error is not None:
                    raise self._error
                yield k
        finally:
            self.closed_in.append(threading.current_thread().name)


def test_order_and_end() -> None:
    upstream = Upstream(1000)
    stream = prefetch(upstream, depth=3, name="ahead")
    assert list(stream) == list(range(1000))
    assert list(stream) == []
    assert upstream.closed_in == ["ahead"]
    stream.close()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_is_bounded(depth: int) -> None:
    upstream = Upstream(100)
    with prefetch(upstream, depth=depth, name="ahead") as stream:
        for taken in range(1, 20):
            next(stream)
            wait_until(lambda taken=taken: upstream.pulled == taken + depth)
        time.sleep(0.02)
        assert upstream.pulled == 19 + depth


def test_nothing_runs_before_the_first_pull() -> None:
    upstream = Upstream(3)
    stream = prefetch(upstream, depth=2, name="ahead")
    time.sleep(0.01)
    assert upstream.pulled == 0
    stream.close()
    assert list(stream) == []
    assert upstream.pulled == 0


@pytest.mark.parametrize("depth", [0, -1, 100_000])
def test_depth_out_of_range(depth: int) -> None:
    with pytest.raises(InputError, match=f"got depth = {depth}"):
        prefetch([], depth=depth, name="ahead")


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_error_comes_after_its_items_with_its_traceback(kind: type[BaseException]) -> None:
    error = kind("from upstream")
    upstream = Upstream(9, fail_at=4, error=error)
    stream = prefetch(upstream, depth=2, name="ahead")
    got: list[int] = []
    with pytest.raises(kind) as caught:
        for item in stream:
            got.append(item)
    assert got == [0, 1, 2, 3]
    assert caught.value is error
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "__iter__" and "test_error_comes_after_its_items_with_its_traceback" in frames
    assert upstream.closed_in == ["ahead"]
    assert next(stream, None) is None  # over, like a generator that raised
    stream.close()


def test_error_of_a_function_that_is_no_generator() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise OSError("no device")

    with pytest.raises(OSError, match="no device"):
        next(prefetch(Broken(), depth=1, name="ahead"))


def test_early_close_ends_upstream_in_its_thread() -> None:
    upstream = Upstream(10**9)
    stream = prefetch(upstream, depth=4, name="ahead")
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    (thread,) = (t for t in threading.enumerate() if t.name == "ahead")
    assert thread.daemon
    stream.close()
    assert not thread.is_alive()
    assert upstream.closed_in == ["ahead"]
    assert next(stream, None) is None
    stream.close()


def test_dropping_the_iterator_stops_the_thread() -> None:
    upstream = Upstream(10**9)
    stream = prefetch(upstream, depth=4, name="ahead")
    next(stream)
    wait_until(lambda: upstream.pulled == 5)  # the thread waits for room
    gc.disable()
    try:
        del stream
        wait_until(lambda: upstream.closed_in == ["ahead"])
    finally:
        gc.enable()
    wait_until(lambda: all(t.name != "ahead" for t in threading.enumerate()))


def test_consumer_that_raises_does_not_hang() -> None:
    upstream = Upstream(10**9)
    with pytest.raises(ZeroDivisionError), prefetch(upstream, depth=2, name="ahead") as stream:
        for item in stream:
            1 / (item - 5)
    assert upstream.closed_in == ["ahead"]


def test_error_that_the_consumer_never_came_to_is_dropped() -> None:
    upstream = Upstream(9, fail_at=2, error=ValueError("ahead of the consumer"))
    with prefetch(upstream, depth=5, name="ahead") as stream:
        assert next(stream) == 0
        wait_until(lambda: upstream.closed_in == ["ahead"])


def test_close_raises_what_closing_upstream_raised() -> None:
    def stubborn() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise OSError("cannot release the camera")

    stream = prefetch(stubborn(), depth=2, name="ahead")
    next(stream)
    with pytest.raises(OSError, match="cannot release the camera"):
        stream.close()
    stream.close()


def test_upstream_that_ignores_its_close_is_reported() -> None:
    def ignores() -> Iterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 2
                return

    stream = prefetch(ignores(), depth=2, name="ahead")
    next(stream)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        stream.close()


class Closable:
    """An iterator that is no generator, whose close fails."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error
        self._count = 0

    def __iter__(self) -> Closable:
        return self

    def __next__(self) -> int:
        if self._error is not None:
            raise self._error
        self._count += 1
        if self._count > 2:
            raise StopIteration
        return self._count

    def close(self) -> None:
        raise OSError("close failed")


def test_close_error_at_the_end_is_raised_and_beside_another_error_noted() -> None:
    stream = prefetch(Closable(), depth=2, name="ahead")
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(OSError, match="close failed"):
        next(stream)
    stream = prefetch(Closable(ValueError("first")), depth=2, name="ahead")
    with pytest.raises(ValueError, match="first") as caught:
        next(stream)
    assert caught.value.__notes__ == ["Closing upstream failed as well: OSError('close failed')"]
    with pytest.raises(OSError, match="close failed"):
        prefetch(Closable(), depth=2, name="ahead").close()


def test_upstream_that_does_not_come_back_is_left_with_a_warning() -> None:
    release = threading.Event()

    def blocked() -> Iterator[int]:
        yield 0
        release.wait()
        yield 1

    stream = prefetch(blocked(), depth=2, name="ahead")
    next(stream)
    (thread,) = (t for t in threading.enumerate() if t.name == "ahead")
    with pytest.warns(RuntimeWarning, match=r"'ahead': upstream did not come back within 0.05 s"):
        stream.close(timeout_seconds=0.05)
    release.set()
    thread.join(10)


def test_what_computes_is_waited_for_without_a_limit() -> None:
    release, ended = threading.Event(), list[str]()

    def computing() -> Iterator[int]:
        yield 0
        release.wait()
        ended.append("pass")
        yield 1

    stream = prefetch(computing(), depth=2, name="ahead")
    next(stream)
    timer = threading.Timer(0.2, release.set)
    timer.start()
    stream.close(timeout_seconds=None)
    assert ended == ["pass"] and all(t.name != "ahead" for t in threading.enumerate())
    timer.join()


def test_interrupt_while_the_consumer_waits() -> None:
    release = threading.Event()

    def blocked() -> Iterator[int]:
        release.wait()
        yield 0

    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    stream = prefetch(blocked(), depth=1, name="ahead")
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    timer.join()
    release.set()
    stream.close()


def test_close_from_another_thread_wakes_a_waiting_consumer() -> None:
    entered, release = threading.Event(), threading.Event()

    def blocked() -> Iterator[int]:
        entered.set()
        release.wait()
        yield 0

    stream = prefetch(blocked(), depth=1, name="ahead")
    got: list[object] = []
    consumer = threading.Thread(target=lambda: got.append(next(stream, "over")))
    consumer.start()
    assert entered.wait(10)
    with pytest.warns(RuntimeWarning, match="did not come back"):
        stream.close(timeout_seconds=0.01)
    consumer.join(10)
    assert got == ["over"]
    release.set()
    wait_until(lambda: all(t.name != "ahead" for t in threading.enumerate()))


def test_chain_of_three_closes_through() -> None:
    upstream = Upstream(10**9)
    first = prefetch(upstream, depth=2, name="first")
    second = prefetch(first, depth=2, name="second")
    third = prefetch(second, depth=2, name="third")
    assert [next(third) for _ in range(5)] == [0, 1, 2, 3, 4]
    third.close()
    assert upstream.closed_in == ["first"]


def test_items_are_not_kept_once_given() -> None:
    class Item:
        alive = 0

        def __init__(self) -> None:
            Item.alive += 1

        def __del__(self) -> None:
            Item.alive -= 1

    release = threading.Event()

    def make() -> Iterator[Item]:
        yield Item()
        yield Item()
        release.wait(10)
        yield Item()
        yield Item()

    with prefetch(make(), depth=2, name="ahead") as stream:
        for _ in range(2):
            item = next(stream)
            del item
        wait_until(lambda: Item.alive == 0)  # also while upstream is at the next one
        release.set()
        wait_until(lambda: Item.alive == 2)
    assert Item.alive == 0


@pytest.mark.parametrize("slow", ["producer", "consumer"])
def test_waits_show_who_is_slow(slow: str) -> None:
    def make() -> Iterator[int]:
        for k in range(12):
            time.sleep(0.01 if slow == "producer" else 0)
            yield k

    profiler = Profiler()
    for _ in prefetch(make(), depth=3, name="ahead", profiler=profiler):
        time.sleep(0.01 if slow == "consumer" else 0)
    (queue,) = profiler.session().queues
    assert queue.consumer_wait.count == 12
    waited, blocked = queue.consumer_wait.total_ms, queue.producer_wait.total_ms
    if slow == "producer":
        assert waited > 80 and waited > 2 * blocked
        assert queue.mean_depth < 1.5
    else:
        assert blocked > 60 and blocked > 2 * waited
        assert queue.mean_depth > 1.5
        assert queue.residence.p50_ms > 10
    assert queue.max_depth <= 3


def test_both_sides_work_at_once() -> None:
    both = threading.Barrier(2)  # passes only where the one is at work while the other is

    def make() -> Iterator[int]:
        yield 0
        for k in range(1, 5):
            both.wait(10)
            yield k

    for k in prefetch(make(), depth=2, name="ahead"):
        if k < 4:
            both.wait(10)


def test_waiting_for_the_end_is_waiting() -> None:
    profiler = Profiler()

    def make() -> Iterator[int]:
        yield 0
        time.sleep(0.05)

    assert list(prefetch(make(), depth=2, name="ahead", profiler=profiler)) == [0]
    (here,) = (thread for thread in profiler.session().threads if thread.name == "MainThread")
    assert here.waited_ms > 40
    assert here.unaccounted_ms < 10


def test_a_dropped_pipeline_stops_its_thread() -> None:
    profiler = Profiler()
    upstream = Upstream(10**9)
    ahead = prefetch(profiler.source("source", upstream), depth=2, name="ahead", profiler=profiler)
    stream = profiler.stage("stage", lambda up: (item for item in up), ahead)
    del ahead
    assert next(stream) == 0
    gc.disable()
    try:
        del stream
        wait_until(lambda: upstream.closed_in == ["ahead"])
    finally:
        gc.enable()
    wait_until(lambda: all(t.name != "ahead" for t in threading.enumerate()))


def test_many_short_lives() -> None:
    for k in range(200):
        upstream = Upstream(50)
        stream = prefetch(upstream, depth=1 + k % 4, name="ahead")
        for _ in range(k % 7):
            next(stream)
        stream.close()
        assert upstream.closed_in == (["ahead"] if k % 7 else [])
