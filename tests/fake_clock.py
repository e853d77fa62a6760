"""Clocks that tests move by hand, items that pass, and a hard limit for tests that could hang."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class FakeClock:
    """Stands still until advance(); steps of powers of two are exact in float32."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ThreadClock:
    """One FakeClock a thread, so that threads cannot disturb one another's exact times."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __call__(self) -> float:
        return getattr(self._local, "now", 0.0)

    def advance(self, seconds: float) -> None:
        self._local.now = self() + seconds


@dataclass(frozen=True)
class Item:
    """What frame_index looks for."""

    index: int
    captured_seconds: float = 0.0


@dataclass(frozen=True)
class Carrier:
    """Carries its index as PosedFrame and CalibratedFrame do."""

    frame: Item


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread, also out of a wait for a lock."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"the test hangs: more than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
