"""From what a Recorder recorded to a Session: sums and percentiles."""

from __future__ import annotations

import json
from array import array

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.recording.recorder import Recorder
from tpc_stream.recording.series import QueueSeries, Series, SpanLog
from tpc_stream.recording.session import (
    Deadline,
    Distribution,
    EndToEnd,
    QueueSummary,
    Session,
    StageSummary,
    ThreadSummary,
    Trace,
)

Seconds = NDArray[np.float64]
CAPTURED_KINDS = ("stage", "span")
"""Kinds whose time lies between capture and sink, each counted once: parts lie inside stages."""


def summarise(profiler: Recorder, *, fps: float | None) -> Session:
    """The Session of what was recorded so far; the caller holds the profiler's lock and has flushed the stages."""
    began = profiler.began
    ended = max((thread.ended for thread in profiler.threads if thread.began is not None), default=0.0)
    wall = 0.0 if began is None else ended - began
    done = _numbers(profiler.done_seconds)
    indices, columns = _frames(profiler)
    return Session(
        frames=len(done),
        wall_seconds=wall,
        fps=len(done) / wall if wall > 0 else 0.0,
        first_frame_seconds=float(done.min()) - began if len(done) and began is not None else None,
        stages=tuple(_stage(name, series, wall) for name, series in profiler.series.items()),
        queues=tuple(_queue(name, queue) for name, queue in profiler.queues.items()),
        threads=tuple(
            ThreadSummary(
                name=thread.name,
                wall_ms=1e3 * (thread.ended - thread.began),
                self_ms=1e3 * (thread.accounted - thread.waited),
                waited_ms=1e3 * thread.waited,
                unaccounted_ms=1e3 * (thread.ended - thread.began - thread.accounted),
            )
            for thread in profiler.threads
            if thread.began is not None
        ),
        end_to_end=_end_to_end(profiler),
        interval=distribution(np.diff(done)) if len(done) > 1 else None,
        deadline=None if fps is None else _deadline(np.sort(done), fps),
        counters=dict(profiler.counters),
        context=_json_values(profiler.notes),
        frame_indices=indices,
        frame_columns=columns,
        trace=_trace(profiler.spans, tuple(thread.name for thread in profiler.threads), began or 0.0),
    )


def distribution(seconds: Seconds, *, total_seconds: float | None = None) -> Distribution:
    """Percentiles, linearly interpolated; total_seconds where a more exact sum is known."""
    if not len(seconds):
        return Distribution()
    total = float(seconds.sum()) if total_seconds is None else total_seconds
    p50, p90, p95, p99, top = (1e3 * float(p) for p in np.percentile(seconds, (50, 90, 95, 99, 100)))
    return Distribution(len(seconds), 1e3 * total, 1e3 * total / len(seconds), p50, p90, p95, p99, top)


def _numbers(values: array[float]) -> Seconds:
    return np.array(values, dtype=np.float64)


def _stage(name: str, series: Series, wall: float) -> StageSummary:
    return StageSummary(
        name=name,
        kind=series.kind,
        thread=series.thread,
        self_ms=distribution(_numbers(series.seconds), total_seconds=series.total - series.outside_seconds),
        batches=series.batches,
        longest_batch_ms=1e3 * series.longest_batch_seconds,
        outside_ms=1e3 * series.outside_seconds,
        share=series.total / wall if wall > 0 else 0.0,
    )


def _queue(name: str, queue: QueueSeries) -> QueueSummary:
    depths = np.array(queue.depths)
    return QueueSummary(
        name=name,
        capacity=queue.capacity,
        producer_wait=distribution(_numbers(queue.blocked.seconds), total_seconds=queue.blocked.total),
        consumer_wait=distribution(_numbers(queue.waited.seconds), total_seconds=queue.waited.total),
        residence=distribution(_numbers(queue.residence.seconds), total_seconds=queue.residence.total),
        mean_depth=float(depths.mean()) if len(depths) else 0.0,
        max_depth=int(depths.max()) if len(depths) else 0,
    )


def _per_frame(series: Series, length: int) -> Seconds:
    """[length] seconds by frame index, nan where the series has none; several records of a frame add up."""
    frames = np.array(series.frames, dtype=np.int64)
    kept = (frames >= 0) & (frames < length)
    frames, seconds = frames[kept], _numbers(series.seconds)[kept]
    result = np.full(length, np.nan)
    result[frames] = 0.0
    np.add.at(result, frames, seconds)
    return result


def _end_to_end(profiler: Recorder) -> EndToEnd | None:
    if not profiler.done_frames:
        return None
    latency = distribution(_numbers(profiler.end_to_end_seconds))
    done = np.array(profiler.done_frames)
    length = int(done.max()) + 1
    known = done[done >= 0]

    def mean_ms(parts: list[Series]) -> float:
        return 1e3 * sum(float(np.nan_to_num(_per_frame(p, length))[known].sum()) for p in parts) / len(done)

    compute = mean_ms([s for s in profiler.series.values() if s.kind in CAPTURED_KINDS])
    queue = mean_ms([q.residence for q in profiler.queues.values()])
    return EndToEnd(latency, compute, queue, latency.mean_ms - compute - queue)


def _deadline(done: Seconds, fps: float) -> Deadline:
    interval, misses, late, due = 1 / fps, 0, 0.0, None
    for now in done.tolist():
        # A tenth of a microsecond is the clock's rounding, not lateness.
        if due is not None and now - due > 1e-7:
            misses += 1
            late += now - due
            due = now
        due = (now if due is None else due) + interval
    return Deadline(fps=fps, interval_ms=1e3 * interval, misses=misses, late_ms=1e3 * late)


def _frames(profiler: Recorder) -> tuple[tuple[int, ...], dict[str, tuple[int | float | str | None, ...]]]:
    """The frame records, with each frame's times beside them, by column."""
    table = profiler.table
    length = max(table.length, max(profiler.done_frames, default=-1) + 1)
    every: dict[str, list[int | float | str | None]] = {name: list(c) for name, c in table.columns.items()}
    ends = Series("end", "")
    ends.frames, ends.seconds = profiler.done_frames, profiler.end_to_end_seconds
    for name, series in (*profiler.series.items(), ("end_to_end", ends)):
        if f"{name}_ms" in every:
            raise InputError(f"a frame record is named {name}_ms, which is {name!r}'s time; choose another name")
        per_frame = _per_frame(series, length)
        every[f"{name}_ms"] = [None if v != v else v for v in np.round(1e3 * per_frame, 4).tolist()]
    columns = {name: values + [None] * (length - len(values)) for name, values in every.items()}
    present = [k for k in range(length) if any(values[k] is not None for values in columns.values())]
    return tuple(present), {name: tuple(values[k] for k in present) for name, values in columns.items()}


def _json_values(notes: dict[str, object]) -> dict[str, object]:
    try:
        values: dict[str, object] = json.loads(json.dumps(notes, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"a note holds what JSON cannot: {error}; note plain finite values, got {notes}") from error
    return values


def _trace(spans: SpanLog, threads: tuple[str, ...], began: float) -> Trace:
    return Trace(
        names=tuple(spans.names),
        threads=threads,
        name_ids=tuple(spans.name_ids),
        thread_ids=tuple(spans.thread_ids),
        frames=tuple(spans.frames),
        began_us=tuple(1e6 * (t - began) for t in spans.began),
        duration_us=tuple(1e6 * d for d in spans.seconds),
        left_out=spans.left_out,
    )
