"""Where the time goes while it goes: a small table in the terminal, of the last few seconds, drawn once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tpc_stream.profile import Profiler
from tpc_stream.progress import Rate, status_line
from tpc_stream.recording.ledger import PARTS
from tpc_stream.recording.series import Series

T = TypeVar("T")

DRAW_SECONDS = 1.0
"""Between two draws: a draw takes about 10 ms of the interpreter, which the stages share."""
RECENT = 64
"""Durations of each kind that are looked at: a few seconds."""


def show_live(
    frames: Iterable[T],
    *,
    profiler: Profiler,
    total: int | None,
    console: Console,
    counts: Callable[[], Mapping[str, int]] = dict,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[T]:
    """Passes frames through and shows the recent times of every stage, end to end, and the counts, such as drops."""
    drawn = clock()
    rate = Rate(drawn)
    done = 0
    with Live(console=console, auto_refresh=False, transient=True) as live:  # drawn between frames: no thread
        for frame in frames:
            yield frame
            done += 1
            now = clock()
            rate.add(now)
            if now - drawn >= DRAW_SECONDS:
                status = status_line(done, total, rate.frames_per_second)
                live.update(recent_table(profiler, status=status, counts=counts()), refresh=True)
                drawn = now


def recent_table(profiler: Profiler, *, status: str, counts: Mapping[str, int]) -> Table:
    """The last RECENT durations of every stage and of end to end, milliseconds."""
    told = ", ".join([status, *(f"{count} {name}" for name, count in counts.items() if count)])
    table = Table(title=told, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("the last few seconds, ms")
    for name in ("p50", "p90", "max"):
        table.add_column(name, justify="right")
    with profiler.lock:
        stages = {name: s for name, s in profiler.series.items() if s.kind in ("source", "stage")}
        way = {"end to end": profiler.ledger.end_to_end} | {f"  {part}": profiler.ledger.closed[part] for part in PARTS}
        rows = {name: _recent(series) for name, series in {**stages, **way}.items()}
    for name, seconds in rows.items():
        if len(seconds):
            values = 1e3 * np.percentile(seconds, (50, 90, 100))
            table.add_row(name, *(f"{value:.1f}" for value in values), style="bold" if name == "end to end" else "")
    return table


def _recent(series: Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(series.seconds[-RECENT:], dtype=np.float64)
