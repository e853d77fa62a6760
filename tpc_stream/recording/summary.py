"""From what a Recorder recorded to a Session: sums and percentiles."""

from __future__ import annotations

import json
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.recording.ledger import PARTS
from tpc_stream.recording.recorder import Recorder
from tpc_stream.recording.series import QueueSeries, Series, SpanLog
from tpc_stream.recording.session import Ranges, Session
from tpc_stream.recording.summaries import (
    Deadline,
    Distribution,
    EndToEnd,
    QueueSummary,
    StageSummary,
    ThreadSummary,
    Trace,
)

Seconds = NDArray[np.float64]
_PERCENTS = (50, 90, 95, 99)


def summarise(profiler: Recorder, *, fps: float | None) -> Session:
    """The Session of what was recorded so far; the caller holds the profiler's lock and has flushed the stages."""
    began = profiler.began
    ended = max((thread.ended for thread in profiler.threads if thread.began is not None), default=0.0)
    wall = 0.0 if began is None else ended - began
    done = np.array(profiler.done_seconds, dtype=np.float64)
    stride, indices, columns = _frames(profiler, began or 0.0)
    notes = _json_values(profiler.notes)
    return Session(
        frames=len(done),
        wall_seconds=wall,
        fps=len(done) / wall if wall > 0 else 0.0,
        first_frame_seconds=float(done.min()) - began if len(done) and began is not None else None,
        end_to_end=_end_to_end(profiler) if len(done) else None,
        deadline=None if fps is None else _deadline(profiler, done, fps),
        interval=distribution(np.diff(done)) if len(done) > 1 else None,
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
        counters=dict(profiler.counters),
        context={name: value for name, value in notes.items() if name != "environment"},
        environment=notes.get("environment", {}),
        events={name: _ranges(frames) for name, frames in profiler.events.items() if frames},
        frame_stride=stride,
        frame_indices=indices,
        frame_columns=columns,
        trace=_trace(profiler.spans, tuple(thread.name for thread in profiler.threads), began or 0.0),
    )


def distribution(seconds: Seconds) -> Distribution:
    """Percentiles, linearly interpolated."""
    percentiles = np.percentile(seconds, _PERCENTS).tolist() if len(seconds) else []
    return _distribution(len(seconds), float(seconds.sum()), percentiles, float(seconds.max(initial=0.0)))


def _distribution(count: int, total: float, percentiles: list[float], longest: float) -> Distribution:
    if not count:
        return Distribution()
    p50, p90, p95, p99 = (1e3 * value for value in percentiles)
    return Distribution(count, 1e3 * total, 1e3 * total / count, p50, p90, p95, p99, 1e3 * longest)


def _of(series: Series) -> Distribution:
    percentiles = series.percentiles(tuple(percent / 100 for percent in _PERCENTS))
    return _distribution(series.count, series.total - series.outside_seconds, percentiles, series.longest_seconds)


def _stage(name: str, series: Series, wall: float) -> StageSummary:
    return StageSummary(
        name=name,
        kind=series.kind,
        thread=series.thread,
        self_ms=_of(series),
        batches=series.batches,
        longest_batch_ms=1e3 * series.longest_batch_seconds,
        outside_ms=1e3 * series.outside_seconds,
        share=series.total / wall if wall > 0 else 0.0,
    )


def _queue(name: str, queue: QueueSeries) -> QueueSummary:
    return QueueSummary(
        name=name,
        capacity=queue.capacity,
        producer_wait=_of(queue.blocked),
        consumer_wait=_of(queue.waited),
        residence=_of(queue.residence),
        mean_depth=queue.depth_sum / queue.depth_count if queue.depth_count else 0.0,
        max_depth=queue.max_depth,
    )


def _end_to_end(profiler: Recorder) -> EndToEnd:
    latency = _of(profiler.ledger.end_to_end)
    parts = {part: _of(profiler.ledger.closed[part]) for part in PARTS}
    rest = latency.mean_ms - sum(part.mean_ms for part in parts.values())
    return EndToEnd(
        latency=latency,
        **parts,
        unaccounted_ms=rest,
        unaccounted_share=rest / latency.mean_ms if latency.mean_ms > 0 else 0.0,
    )


def _deadline(profiler: Recorder, done: Seconds, fps: float) -> Deadline:
    frames = np.array(profiler.done_frames, dtype=np.int64)
    # Frames are numbered after some were dropped: k is the k-th that the source gave and nobody dropped.
    dropped = np.unique(np.array(profiler.events["dropped"], dtype=np.int64))
    frames = frames + np.searchsorted(dropped - np.arange(len(dropped)), frames, side="right")
    order = np.argsort(done, kind="stable")
    interval, misses, late = 1 / fps, 0, 0.0
    due: float | None = None
    last = 0
    for frame, now in zip(frames[order].tolist(), done[order].tolist(), strict=True):
        due = now if due is None else due + interval * max(1, frame - last)  # a dropped frame is not waited for
        last = frame
        # A tenth of a microsecond is the clock's rounding, not lateness.
        if now - due > 1e-7:
            misses += 1
            late += now - due
            due = now
    rate = misses / len(done) if len(done) else 0.0
    return Deadline(fps=fps, interval_ms=1e3 * interval, misses=misses, miss_rate=rate, late_ms=1e3 * late)


def _per_frame(series: Series, length: int) -> Seconds:
    """[length] seconds by frame index, nan where the series has none; several records of a frame add up."""
    frames = np.array(series.frames, dtype=np.int64)
    kept = (frames >= 0) & (frames < length)
    frames, seconds = frames[kept], series.values()[kept]
    result = np.full(length, np.nan)
    result[frames] = 0.0
    np.add.at(result, frames, seconds)
    return result


def _frames(
    profiler: Recorder, began: float
) -> tuple[int, tuple[int, ...], dict[str, tuple[int | float | str | None, ...]]]:
    """How many frames apart the rows lie, the frames that have one, and by column what is known of them."""
    table, ledger = profiler.table, profiler.ledger
    timed = {f"{name}_ms": series for name, series in profiler.series.items()}
    timed |= {f"{part}_ms": ledger.closed[part] for part in PARTS} | {"end_to_end_ms": ledger.end_to_end}
    length = max(table.length, max(profiler.done_frames, default=-1) + 1)
    stride = max([table.stride, *(series.stride for series in timed.values())])
    places = -(-length // stride)
    every: dict[str, list[int | float | str | None]] = {}
    for name, column in table.columns.items():
        values = list(column)[:: stride // table.stride]
        every[name] = values + [None] * (places - len(values))
    done = np.full(length, np.nan)
    frames = np.array(profiler.done_frames, dtype=np.int64)
    done[frames[frames >= 0]] = np.array(profiler.done_seconds)[frames >= 0] - began
    numbers = {"done_seconds": np.round(done, 6)}
    numbers |= {name: np.round(1e3 * _per_frame(series, length), 4) for name, series in timed.items()}
    for name, row in numbers.items():
        if name in every:
            raise InputError(f"a frame record is named {name}, which is a time of the profile; choose another name")
        if not np.isnan(row).all():
            every[name] = [None if v != v else v for v in row[::stride].tolist()]
    present = [k for k in range(places) if any(values[k] is not None for values in every.values())]
    columns = {name: tuple(values[k] for k in present) for name, values in every.items()}
    return stride, tuple(k * stride for k in present), columns


def _ranges(frames: array[int]) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for frame in sorted(frames):
        if ranges and frame == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], frame
        else:
            ranges.append((frame, frame))
    return tuple(ranges)


def _json_values(notes: dict[str, object]) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(json.dumps(notes, allow_nan=False))
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
