"""How far the work is: a bar in a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from math import exp
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from tpc_stream.errors import InputError

T = TypeVar("T")

LINE_SECONDS = 5.0
"""Seconds between two plain lines: a 10-minute run fills two screens of a log."""
SMOOTHING_SECONDS = 3.0
"""Time constant of the rate: a few windows of 16 frames at 10 to 25 frames/s."""
DRAW_SECONDS = 0.2
"""Seconds between two draws of the bar; each costs about a millisecond of the interpreter."""


def show_progress(
    frames: Iterable[T], *, total: int | None, console: Console, clock: Callable[[], float] = time.perf_counter
) -> Iterator[T]:
    """Pass frames through and show how many are done, how fast, and how long it will take.

    In a terminal a bar; elsewhere (console.is_terminal is False) one line about every 5 s and one at the end.
    total None: not known, so no remaining time. A console that writes to stderr keeps stdout free.
    """
    if total is not None and total < 0:
        raise InputError(f"total is the number of frames, or None if unknown, got {total = }")
    show = _bar if console.is_terminal else _lines
    return show(frames, total, console, clock)


class Rate:
    """Frames per second, smoothed over the last few seconds; even where frames come in bursts."""

    def __init__(self, now: float) -> None:
        self._began = self._then = now
        self._count = 0.0
        self._seconds = 0.0

    def add(self, now: float) -> None:
        """One more frame is done: older frames and older seconds fade alike, so their ratio is the rate."""
        passed = now - self._then
        fade = exp(-passed / SMOOTHING_SECONDS)
        self._count = self._count * fade + 1.0
        # The integral of the fading weight over the time passed.
        self._seconds = self._seconds * fade + SMOOTHING_SECONDS * (1.0 - fade)
        self._then = now

    @property
    def frames_per_second(self) -> float | None:
        """None while no time has passed."""
        return self._count / self._seconds if self._seconds > 0 else None


def status_line(done: int, total: int | None, rate: float | None) -> str:
    """Such as "120/500 frames, 12.3 frames/s, 0:31 left"."""
    parts = [f"{done}/{total} frames" if total is not None else f"{done} frames"]
    if rate is not None:
        parts.append(f"{rate:.1f} frames/s")
        if total is not None and total > done:
            parts.append(f"{_clock_text((total - done) / rate)} left")
    return ", ".join(parts)


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lines(frames: Iterable[T], total: int | None, console: Console, clock: Callable[[], float]) -> Iterator[T]:
    began = said = clock()
    rate = Rate(began)
    done = 0
    for frame in frames:
        yield frame
        done += 1
        now = clock()
        rate.add(now)
        if now - said >= LINE_SECONDS:
            console.print(status_line(done, total, rate.frames_per_second), highlight=False, markup=False)
            said = now
    console.print(f"{done} frames in {clock() - began:.1f} s", highlight=False, markup=False)


class _Speed(ProgressColumn):
    """Rate and remaining time, from the task's fields: rich's own estimate jumps where frames come in bursts."""

    def render(self, task: Task) -> Text:
        total = None if task.total is None else int(task.total)
        _, *parts = status_line(int(task.completed), total, task.fields["rate"]).split(", ")
        return Text(", ".join(parts), style="progress.data.speed")


def _bar(frames: Iterable[T], total: int | None, console: Console, clock: Callable[[], float]) -> Iterator[T]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        console=console,
        auto_refresh=False,  # drawn between frames: no thread of its own
    )
    drawn = clock()
    rate = Rate(drawn)
    done = 0
    with progress:
        task = progress.add_task("frames", total=total, rate=None)
        for frame in frames:
            yield frame
            done += 1
            now = clock()
            rate.add(now)
            draw = now - drawn >= DRAW_SECONDS
            progress.update(task, completed=done, rate=rate.frames_per_second, refresh=draw)
            drawn = now if draw else drawn
