"""Ctrl-C and SIGTERM may come at any moment; some moments are too short to be worth interrupting."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: the run ends as it does on Ctrl-C, with what was made so far."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` in the block, as Ctrl-C raises KeyboardInterrupt. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    came = False

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows is the end already
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        if came and not isinstance(error, Terminated):  # Ray, where it waits, makes another of it
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals wait: what is written at the end of a run takes less than a second, and half of it helps nobody.

    Ctrl-C and SIGTERM in the block are ignored. Only the main thread has signals: elsewhere it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unmissable() -> Iterator[Callable[[], None]]:
    """Where foreign code may swallow what Ctrl-C or SIGTERM raises: the function raises it again if either came.

    Only the main thread has signals: elsewhere the function does nothing.
    """
    came: list[int] = []

    def check() -> None:
        if came:
            raise Terminated if came[0] == signal.SIGTERM else KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)
