"""What recording costs: the same chain of empty stages with a profiler and without, and each kind of record alone."""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tpc_stream.prefetch import prefetch
from tpc_stream.profile import Profiler
from tpc_stream.recording.machine import describe_machine

FRAME_SECONDS = 0.040
"""One frame of 25 frames/s."""
STAGES = 10
SPANS = 6


@dataclass(frozen=True)
class Item:
    """The least that a frame is to the profiler."""

    index: int
    captured_seconds: float


@dataclass(frozen=True)
class Cost:
    """Nanoseconds of one record: median and span of the repeats."""

    name: str
    median_ns: float
    least_ns: float
    most_ns: float


def through(upstream: Iterable[Item]) -> Iterator[Item]:
    """A stage without work."""
    yield from upstream


def chain(count: int, profiler: Profiler | None) -> None:
    """Pass `count` items through a source and STAGES stages."""
    items = (Item(k, 0.0) for k in range(count))
    stream: Iterable[Item] = items if profiler is None else profiler.source("source", items)
    for k in range(STAGES):
        stream = through(stream) if profiler is None else profiler.stage(f"stage {k}", through, stream)
    for _ in stream:
        pass


def timed(run: Callable[[], None]) -> float:
    """Seconds of processor time: what others do on the machine does not count."""
    began = time.process_time()
    run()
    return time.process_time() - began


def spans(count: int) -> None:
    profiler = Profiler()
    for k in range(count):
        with profiler.span("span", k):
            pass


def waits(count: int) -> None:
    profiler = Profiler()
    for k in range(count):
        profiler.queue_blocked("queue", capacity=4, began=0.0, ended=0.0)
        profiler.queue_waited("queue", capacity=4, began=0.0, ended=0.0, depth=1, queued=0.0, index=k)


def facts(count: int) -> None:
    profiler = Profiler()
    for k in range(count):
        profiler.frame_record(k, iou=0.9, scale=1.0, status="fresh", subset=7)
        profiler.frame_done(k, 0.0)


def hand_over(count: int) -> None:
    """A prefetch thread without a profiler: what the hand-over itself costs, for comparison."""
    with prefetch((Item(k, 0.0) for k in range(count)), depth=4, name="ahead") as stream:
        for _ in stream:
            pass


def nothing(count: int) -> None:
    for _ in range(count):
        pass


def measure(*, count: int, repeats: int) -> list[Cost]:
    """Cost of each kind of record; with and without alternate, so that a busy machine disturbs both alike."""
    chain_ns: list[float] = []
    alone: dict[str, Callable[[int], None]] = {
        "span": spans,
        "queue item, both sides": waits,
        "frame_record (4 values) and frame_done": facts,
        "prefetch hand-over, not recorded": hand_over,
    }
    alone_ns: dict[str, list[float]] = {name: [] for name in alone}
    for _ in range(repeats):
        bare = timed(lambda: chain(count, None))
        recorded = timed(lambda: chain(count, Profiler()))
        chain_ns.append(1e9 * (recorded - bare) / count / (STAGES + 1))
        loop = timed(lambda: nothing(count))
        for name, run in alone.items():
            alone_ns[name].append(1e9 * (timed(partial(run, count)) - loop) / count)
    every = {"stage item": chain_ns, **alone_ns}
    return [Cost(name, statistics.median(ns), min(ns), max(ns)) for name, ns in every.items()]


def memory_bytes(frames: int) -> tuple[int, int]:
    """Bytes held after that many frames of a full pipeline, and bytes of its Session beside it."""
    tracemalloc.start()
    try:
        profiler = Profiler()
        stream: Iterable[Item] = profiler.source("source", (Item(k, 0.0) for k in range(frames)))
        for k in range(STAGES):
            stream = profiler.stage(f"stage {k}", through, stream)
        for item in stream:
            for k in range(SPANS):
                with profiler.span(f"span {k}", item.index):
                    pass
            profiler.queue_blocked("queue", capacity=4, began=0.0, ended=0.0)
            profiler.queue_waited("queue", capacity=4, began=0, ended=0, depth=1, queued=0, index=item.index)
            profiler.frame_record(item.index, iou=0.9, scale=1.0, angle=0.0, status="fresh", reason="", subset=7)
            profiler.frame_done(item.index, 0.0)
        recorded, _ = tracemalloc.get_traced_memory()
        session = profiler.session()
        total, _ = tracemalloc.get_traced_memory()
        assert session.frames == frames
    finally:
        tracemalloc.stop()
    return recorded, total - recorded


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench profile-overhead", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="items a repeat (default 5000)")
    parser.add_argument("--repeats", type=int, default=7, help="repeats; the median is told (default 7)")
    parser.add_argument("--frames", type=int, default=15_000, help="frames of the memory run (default 10 min at 25/s)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(argv)
    costs = measure(count=options.count, repeats=options.repeats)
    recorded, session = memory_bytes(options.frames)
    by_name = {cost.name: cost.median_ns for cost in costs}
    frame_ns = (
        (STAGES + 1) * by_name["stage item"]
        + SPANS * by_name["span"]
        + by_name["queue item, both sides"]
        + by_name["frame_record (4 values) and frame_done"]
    )
    table = Table(title=f"Recording cost, {options.repeats} repeats of {options.count}", title_justify="left")
    for head in ("record", "median ns", "least", "most"):
        table.add_column(head, justify="left" if head == "record" else "right")
    for cost in costs:
        table.add_row(cost.name, f"{cost.median_ns:.0f}", f"{cost.least_ns:.0f}", f"{cost.most_ns:.0f}")
    console = Console()
    console.print(table)
    stages_share = STAGES * by_name["stage item"] / (1e9 * FRAME_SECONDS)
    console.print(f"{STAGES} stages: {stages_share:.3%} of a {1e3 * FRAME_SECONDS:.0f} ms frame")
    console.print(
        f"{STAGES} stages, a source, {SPANS} spans, a queue, 4 facts: {frame_ns / 1e3:.1f} µs,"
        f" {frame_ns / (1e9 * FRAME_SECONDS):.3%} of the frame"
    )
    console.print(
        f"Memory for {options.frames} frames: {recorded / 1e6:.2f} MB, its Session {session / 1e6:.2f} MB more"
    )
    if options.json is not None:
        figures = {
            "machine": describe_machine(),
            "costs": [vars(cost) for cost in costs],
            "frame_ns": frame_ns,
            "share_of_frame": frame_ns / (1e9 * FRAME_SECONDS),
            "recorded_bytes": recorded,
            "session_bytes": session,
        }
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0
