"""Self time, spans and percentiles, exact under a clock that the test moves."""

from __future__ import annotations

import gc
import json
import math
import threading
import tracemalloc
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from tests.fake_clock import Carrier, FakeClock, Item, ThreadClock, time_limit
from tpc_stream.errors import InputError
from tpc_stream.prefetch import prefetch
from tpc_stream.profile import NO_FRAME, Profiler, Session, frame_index
from tpc_stream.recording import frame_table, series
from tpc_stream.recording.ledger import MAX_OPEN_FRAMES
from tpc_stream.recording.session import Deadline, Distribution, StageSummary
from tpc_stream.recording.stage_timer import StageTimer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1024.0)


@pytest.fixture
def profiler(clock: FakeClock) -> Profiler:
    return Profiler(clock=clock)


def of(session: Session, name: str) -> StageSummary:
    (stage,) = (stage for stage in session.stages if stage.name == name)
    return stage


def items(clock: FakeClock, count: int, seconds: float) -> Iterator[Item]:
    for k in range(count):
        clock.advance(seconds)
        yield Item(k, clock())


def test_self_time_leaves_out_upstream(profiler: Profiler, clock: FakeClock) -> None:
    def inner(upstream: Iterable[Item]) -> Iterator[Item]:
        for item in upstream:
            clock.advance(2.0)
            yield item
            clock.advance(0.5)  # after the yield: counts for the next item, or for the end

    def outer(upstream: Iterable[Item]) -> Iterator[Carrier]:
        for item in upstream:
            clock.advance(4.0)
            yield Carrier(item)

    stream = profiler.source("source", items(clock, 3, 1.0))
    stream = profiler.stage("inner", inner, stream)
    last = profiler.stage("outer", outer, stream)
    for _ in last:
        clock.advance(8.0)  # the consumer: in no stage
    session = profiler.session()

    assert list(profiler.series["source"].seconds) == [1.0, 1.0, 1.0]
    assert list(profiler.series["inner"].seconds) == [2.0, 2.5, 2.5]
    assert list(profiler.series["outer"].seconds) == [4.0, 4.0, 4.0]
    assert list(profiler.series["outer"].frames) == [0, 1, 2]
    assert of(session, "inner").outside_ms == 500.0
    assert of(session, "inner").busy_ms == 7500.0
    assert session.wall_seconds == 3 * 1 + 7.5 + 12 + 2 * 8 + 8
    assert session.unaccounted_ms == 24_000.0
    assert of(session, "outer").share == 12 / session.wall_seconds


def test_window_stage_shares_a_batch_among_its_frames(profiler: Profiler, clock: FakeClock) -> None:
    def window(upstream: Iterable[Item]) -> Iterator[Item]:
        held: list[Item] = []
        for item in upstream:
            clock.advance(0.25)
            held.append(item)
            if len(held) == 4:
                clock.advance(7.0)
                yield from held
                held = []
        clock.advance(3.0)
        yield from held
        clock.advance(0.125)

    stream = profiler.stage("window", window, profiler.source("source", items(clock, 10, 1.0)))
    assert [item.index for item in stream] == list(range(10))
    session = profiler.session()

    series = profiler.series["window"]
    assert list(series.seconds) == [2.0] * 8 + [1.75] * 2  # (4/4 + 7)/4, then (2/4 + 3)/2
    assert list(series.frames) == list(range(10))
    summary = of(session, "window")
    assert summary.batches == 3
    assert summary.longest_batch_ms == 8000.0
    assert summary.outside_ms == 125.0
    assert summary.busy_ms == 1e3 * (10 * 0.25 + 2 * 7 + 3 + 0.125)
    assert session.unaccounted_ms == 0.0


def test_set_up_before_the_first_pull_is_no_frames_time(profiler: Profiler, clock: FakeClock) -> None:
    def stage(upstream: Iterable[Item]) -> Iterator[Item]:
        with profiler.span("build"):
            clock.advance(16.0)
        for item in upstream:
            clock.advance(2.0)
            yield item

    for item in profiler.stage("stage", stage, profiler.source("source", items(clock, 2, 1.0))):
        profiler.frame_done(item.index, item.captured_seconds)
    session = profiler.session()
    assert list(profiler.series["stage"].seconds) == [2.0, 2.0]
    assert of(session, "stage").outside_ms == of(session, "stage/build").busy_ms == 16_000.0
    assert of(session, "stage").busy_ms == 20_000.0
    assert session.end_to_end is not None and session.end_to_end.unaccounted_ms == 0.0
    assert session.unaccounted_ms == 0.0


def test_stage_that_looks_ahead(profiler: Profiler, clock: FakeClock) -> None:
    def ahead(upstream: Iterable[Item]) -> Iterator[Item]:
        held: list[Item] = []
        for item in upstream:
            clock.advance(1.0)
            held.append(item)
            if len(held) > 2:
                yield held.pop(0)
        yield from held

    list(profiler.stage("ahead", ahead, items(clock, 5, 8.0)))
    profiler.session()
    assert list(profiler.series["ahead"].seconds) == [3.0, 1.0, 1.0, 0.0, 0.0]


def test_sum_of_self_times_is_the_busy_time(profiler: Profiler, clock: FakeClock) -> None:
    generator = np.random.default_rng(0)
    steps = (generator.integers(1, 1000, 400) / 1024).tolist()
    worked = [0.0, 0.0, 0.0]

    def work(k: int) -> None:
        seconds = steps.pop()
        worked[k] += seconds
        clock.advance(seconds)

    def stage(k: int, take: int) -> object:
        def run(upstream: Iterable[Item]) -> Iterator[Item]:
            held: list[Item] = []
            for item in upstream:
                work(k)
                held.append(item)
                if len(held) == take:
                    for one in held:
                        yield one
                        work(k)
                    held = []
            yield from held

        return run

    stream: Iterable[Item] = (Item(k) for k in range(23))
    for k, take in enumerate((1, 5, 3)):
        stream = profiler.stage(f"stage {k}", stage(k, take), stream)
    assert len(list(stream)) == 23
    session = profiler.session()
    for k in range(3):
        assert of(session, f"stage {k}").busy_ms == pytest.approx(1e3 * worked[k], rel=1e-12)
    assert session.unaccounted_ms == pytest.approx(0.0, abs=1e-9)
    assert session.wall_seconds == pytest.approx(sum(worked), rel=1e-12)


def test_spans_lie_below_their_stage_and_leave_out_pulls_and_yields(profiler: Profiler, clock: FakeClock) -> None:
    def denoise(upstream: Iterable[Item]) -> Iterator[Item]:
        with profiler.span("whole"):
            for item in upstream:
                with profiler.span("reference", item.index):
                    clock.advance(1.0)
                    with profiler.span("attention", item.index):
                        clock.advance(0.5)
                yield item
                with profiler.span("denoise/whole/tail"):  # a full name is kept
                    clock.advance(2.0)
        profiler.add_duration("device", 0.25, 7)

    stream = profiler.stage("denoise", denoise, profiler.source("source", items(clock, 2, 16.0)))
    for item in stream:
        clock.advance(64.0)
        with profiler.span("write", item.index):
            clock.advance(32.0)
    session = profiler.session()
    totals = {stage.name: (stage.kind, stage.self_ms.count, stage.busy_ms) for stage in session.stages}
    assert totals == {
        "source": ("source", 2, 32_000.0),
        "denoise": ("stage", 2, 7000.0),
        "denoise/whole": ("part", 1, 7000.0),
        "denoise/whole/reference": ("part", 2, 3000.0),
        "denoise/whole/reference/attention": ("part", 2, 1000.0),
        "denoise/whole/tail": ("part", 2, 4000.0),
        "denoise/device": ("measured", 1, 250.0),
        "write": ("span", 2, 64_000.0),
    }
    assert session.unaccounted_ms == 128_000.0


def test_a_span_around_the_loop_leaves_out_the_stages(profiler: Profiler, clock: FakeClock) -> None:
    with profiler.span("run"):
        for _ in profiler.source("source", items(clock, 3, 1.0)):
            clock.advance(0.5)
    session = profiler.session()
    assert of(session, "run").busy_ms == 1500.0
    assert session.unaccounted_ms == 0.0


def test_each_item_of_a_source_stands_alone(profiler: Profiler, clock: FakeClock) -> None:
    def source() -> Iterator[Item]:
        for k in range(3):
            clock.advance(2.0**k)
            yield Item(k)

    list(profiler.source("source", source()))
    assert of(profiler.session(), "source").batches == 3
    assert list(profiler.series["source"].seconds) == [1.0, 2.0, 4.0]


def test_a_span_of_upstream_is_no_part_of_the_stage_that_pulls(profiler: Profiler, clock: FakeClock) -> None:
    def upstream() -> Iterator[Item]:
        with profiler.span("open"):
            clock.advance(1.0)
        yield Item(0)

    list(profiler.stage("stage", iter, upstream()))
    session = profiler.session()
    assert [(stage.name, stage.kind, stage.busy_ms) for stage in session.stages] == [
        ("stage", "stage", 0.0),
        ("open", "span", 1000.0),
    ]
    assert session.unaccounted_ms == 0.0


def test_span_is_recorded_when_its_block_raises(profiler: Profiler, clock: FakeClock) -> None:
    def stage(upstream: Iterable[Item]) -> Iterator[Item]:
        for item in upstream:
            with profiler.span("part"):
                clock.advance(1.0)
                raise ZeroDivisionError
            yield item

    with pytest.raises(ZeroDivisionError):
        next(profiler.stage("stage", stage, items(clock, 3, 1.0)))
    with profiler.span("after"):
        clock.advance(1.0)
    session = profiler.session()
    assert of(session, "stage/part").busy_ms == 1000.0
    assert of(session, "stage").outside_ms == 1000.0
    assert of(session, "after").kind == "span"


def test_every_thread_is_accounted_for() -> None:
    clock = ThreadClock()
    profiler = Profiler(clock=clock)

    def make() -> Iterator[Item]:
        for k in range(4):
            clock.advance(1.0)
            yield Item(k)

    def stage(upstream: Iterable[Item]) -> Iterator[Item]:
        for item in upstream:
            clock.advance(0.5)
            yield item

    with time_limit(20):
        made = profiler.stage("in thread", stage, profiler.source("source", make()))
        here = profiler.stage("here", stage, prefetch(made, depth=2, name="ahead", profiler=profiler))
        assert [item.index for item in here] == [0, 1, 2, 3]
        here.close()
    session = profiler.session()
    assert of(session, "source").busy_ms == 4000.0
    assert of(session, "in thread").busy_ms == 2000.0
    assert of(session, "in thread").thread == "ahead"
    assert of(session, "here").busy_ms == 2000.0
    threads = {thread.name: thread for thread in session.threads}
    assert threads["ahead"].self_ms == threads["ahead"].wall_ms == 6000.0
    assert threads["MainThread"].self_ms == threads["MainThread"].wall_ms == 2000.0
    (queue,) = session.queues
    assert (queue.name, queue.capacity, queue.residence.count, queue.consumer_wait.count) == ("ahead", 2, 4, 4)
    assert queue.max_depth <= 2


def test_prefetch_inside_a_profiled_stage_is_refused(profiler: Profiler, clock: FakeClock) -> None:
    with time_limit(20):
        stream = profiler.stage("stage", lambda up: prefetch(up, depth=1, name="inside"), items(clock, 3, 1.0))
        with pytest.raises(InputError, match="put prefetch between profiled stages"):
            next(stream)


def test_waiting_inside_a_stage_is_not_its_work(profiler: Profiler, clock: FakeClock) -> None:
    def stage(upstream: Iterable[Item]) -> Iterator[Item]:
        for item in upstream:
            began = clock()
            clock.advance(4.0)
            profiler.queue_blocked("queue", capacity=3, began=began, ended=clock())
            clock.advance(1.0)
            yield item

    list(profiler.stage("stage", stage, items(clock, 2, 0.0)))
    session = profiler.session()
    assert of(session, "stage").busy_ms == 2000.0
    assert session.queues[0].producer_wait.total_ms == 8000.0
    assert session.threads[0].waited_ms == 8000.0
    assert session.unaccounted_ms == 0.0


def test_end_to_end_of_a_window_is_tiled(profiler: Profiler, clock: FakeClock) -> None:
    def pair(upstream: Iterable[Item]) -> Iterator[Item]:
        held: list[Item] = []
        for item in upstream:
            clock.advance(0.25)
            held.append(item)
            if len(held) == 2:
                clock.advance(4.0)
                yield from held
                held = []

    def encode(upstream: Iterable[Item]) -> Iterator[Item]:
        for item in upstream:
            clock.advance(2.0)
            yield item

    def captured() -> Iterator[Item]:
        for k in range(4):
            clock.advance(1.0)
            item = Item(k, clock())
            clock.advance(0.125)  # decoding
            yield item

    profiler.start()
    clock.advance(0.5)
    stream = profiler.stage("pair", pair, profiler.source("source", captured()))
    for item in profiler.stage("encode", encode, stream, codec=True):
        profiler.frame_done(item.index, item.captured_seconds)
        clock.advance(0.0625)  # the consumer: the second frame of a pair waits for it
    session = profiler.session(fps=0.25)
    assert session.frames == 4
    assert session.wall_seconds == 0.5 + 2 * (2 * 1.125 + 4.5 + 2 * 2.0625)
    assert session.first_frame_seconds == 0.5 + 2 * 1.125 + 4.5 + 2.0
    end_to_end = session.end_to_end
    assert end_to_end is not None
    rows = [{name: row[f"{name}_ms"] for name in ("structural", "queue", "compute", "codec", "end_to_end")}
            for row in session.frame_rows()]  # fmt: skip
    first = {"structural": 1125.0, "queue": 0.0, "compute": 4500.0, "codec": 2125.0, "end_to_end": 7750.0}
    second = {"structural": 0.0, "queue": 2062.5, "compute": 4250.0, "codec": 2125.0, "end_to_end": 8437.5}
    assert rows == [first, second] * 2
    assert end_to_end.latency.mean_ms == (7750.0 + 8437.5) / 2
    assert end_to_end.structural.max_ms == 1125.0 and end_to_end.structural.count == 4
    assert end_to_end.unaccounted_ms == end_to_end.unaccounted_share == 0.0
    assert session.interval is not None and session.interval.count == 3


def test_a_frame_that_a_window_keeps_waits_for_the_next_window(profiler: Profiler, clock: FakeClock) -> None:
    def overlapped(upstream: Iterable[Item]) -> Iterator[Item]:
        held: list[Item] = []
        for item in upstream:
            held.append(item)
            if len(held) == 3:
                clock.advance(4.0)
                yield held[0]
                yield held[1]
                held = held[2:]
        yield from held

    for item in profiler.stage("denoise", overlapped, profiler.source("source", items(clock, 5, 1.0))):
        clock.advance(0.5)
        profiler.frame_done(item.index, item.captured_seconds)
    by_frame = {row["index"]: row for row in profiler.session().frame_rows()}
    kept = by_frame[2]  # in the first window, and in the second, two frames later
    assert (kept["structural_ms"], kept["queue_ms"], kept["compute_ms"]) == (2000.0, 1000.0, 8000.0)
    assert kept["end_to_end_ms"] == 11_500.0  # half a second of it at the consumer, which is no stage


def test_queues_are_part_of_a_frames_way_and_decoding_is_what_they_leave(profiler: Profiler, clock: FakeClock) -> None:
    def camera() -> Iterator[Item]:
        for k in range(3):
            captured = clock()
            clock.advance(2.0)
            profiler.queue_waited("drop", capacity=1, began=0.0, ended=clock(), depth=1, queued=captured, index=k)
            clock.advance(0.5)
            yield Item(k, captured)

    for item in profiler.source("source", camera()):
        profiler.queue_waited(
            "ahead", capacity=4, began=0, ended=clock() + 1, depth=0, queued=clock(), index=item.index
        )
        clock.advance(1.0)
        profiler.frame_done(item.index, item.captured_seconds)
    session = profiler.session()
    assert session.end_to_end is not None
    assert (session.end_to_end.queue.p50_ms, session.end_to_end.codec.p50_ms) == (3000.0, 500.0)
    assert session.end_to_end.unaccounted_ms == 0.0


def test_handing_an_item_over_is_waiting(profiler: Profiler, clock: FakeClock) -> None:
    for _ in profiler.source("source", items(clock, 3, 1.0)):
        clock.advance(0.5)  # for the lock, or for the interpreter
        profiler.queue_blocked("ahead", capacity=2, began=clock(), ended=clock() + 0.25)
        clock.advance(0.25)
    session = profiler.session()
    assert (session.unaccounted_ms, session.threads[0].waited_ms) == (0.0, 2250.0)
    assert session.queues[0].producer_wait.total_ms == 750.0


def test_frames_that_never_arrive_leave_nothing_behind(profiler: Profiler, clock: FakeClock) -> None:
    def drop_most(upstream: Iterable[Item]) -> Iterator[Item]:
        return (item for item in upstream if item.index % 100 == 0)

    def drop_all(upstream: Iterable[Item]) -> Iterator[Item]:
        return (item for item in upstream if item.index < 0)

    stream = profiler.stage("most", drop_most, profiler.source("source", map(Item, range(5000))))
    assert list(profiler.stage("all", drop_all, stream)) == []
    assert len(profiler.ledger._open) == MAX_OPEN_FRAMES
    assert all(len(timer._inside) <= 200 for timer in profiler.timers if isinstance(timer, StageTimer))


def test_frame_events_are_counted_with_their_indices(profiler: Profiler) -> None:
    for index in (7, 3, 4, 5, 9):
        profiler.frame_event("dropped", index)
    profiler.frame_event("held", 1)
    session = profiler.session()
    assert session.events == {"dropped": ((3, 5), (7, 7), (9, 9)), "held": ((1, 1),)}
    data = json.loads(session.to_json())
    assert (data["frames_dropped"], data["frames_repeated"], data["frames_held"]) == (5, 0, 1)
    assert data["events"]["dropped"] == [[3, 5], [7, 7], [9, 9]]


def test_json_has_the_documented_figures(profiler: Profiler, clock: FakeClock) -> None:
    for item in profiler.stage("stage", iter, profiler.source("source", items(clock, 5, 0.5))):
        profiler.frame_done(item.index, item.captured_seconds)
    profiler.note(environment={"cpu": "abacus"}, steps=2)
    data = json.loads(profiler.session(fps=2.0).to_json())
    wanted = {"p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "count"}
    assert all(wanted <= entry.keys() for entry in [data["end_to_end"], *data["stages"]])
    assert [entry["name"] for entry in data["stages"]] == ["source", "stage"]
    assert data["end_to_end"].keys() >= {"structural", "queue", "compute", "codec", "unaccounted_share"}
    assert (data["environment"], data["context"], data["fps"]) == ({"cpu": "abacus"}, {"steps": 2}, 2.0)
    assert data["deadline"]["miss_rate"] == 0.0


def test_deadline_counts_the_stalls_of_a_player(profiler: Profiler, clock: FakeClock) -> None:
    for k, wait in enumerate((3.0, 1.0, 0.5, 1.5, 4.0, 1.0)):  # due, early, due, 3 s late, due again
        clock.advance(wait)
        profiler.frame_done(k, clock() - 0.5)
    due = Deadline(fps=1.0, interval_ms=1000.0, misses=1, miss_rate=1 / 6, late_ms=3000.0)
    assert profiler.session(fps=1.0).deadline == due
    assert profiler.session().deadline is None
    with pytest.raises(InputError, match="fps is above 0, got -1"):
        profiler.session(fps=-1)


def test_nobody_waits_for_a_dropped_frame(profiler: Profiler, clock: FakeClock) -> None:
    profiler.frame_event("dropped", 2, 3)
    profiler.frame_event("dropped", 5)
    for index, seconds in ((0, 1.0), (1, 1.0), (2, 3.0), (3, 2.5)):  # the source's 0, 1, 4, 6
        clock.advance(seconds)
        profiler.frame_done(index, clock())
    deadline = profiler.session(fps=1.0).deadline
    assert deadline is not None and (deadline.misses, deadline.late_ms) == (1, 500.0)


def test_percentiles_are_numpys(profiler: Profiler, clock: FakeClock) -> None:
    seconds = np.random.default_rng(1).gamma(2.0, 0.02, 1000).astype(np.float32)
    for k, value in enumerate(seconds.tolist()):
        profiler.add_duration("x", value, k)
    got = of(profiler.session(), "x").self_ms
    want = 1e3 * np.percentile(seconds.astype(np.float64), [50, 90, 95, 99, 100])
    assert [got.p50_ms, got.p90_ms, got.p95_ms, got.p99_ms, got.max_ms] == pytest.approx(want.tolist(), rel=1e-12)
    assert got.count == 1000
    assert got.total_ms == pytest.approx(1e3 * math.fsum(seconds.tolist()), rel=1e-9)
    assert got.mean_ms == pytest.approx(got.total_ms / 1000)


def test_json_round_trip_is_exact(profiler: Profiler, clock: FakeClock) -> None:
    stream = profiler.stage("stage", lambda up: iter(up), profiler.source("source", items(clock, 5, 0.1)))
    for item in stream:
        with profiler.span("write", item.index):
            clock.advance(0.3)
        profiler.queue_waited("q", capacity=2, began=1.0, ended=1.1, depth=1, queued=0.7, index=item.index)
        profiler.frame_done(item.index, item.captured_seconds)
        if item.index != 2:
            profiler.frame_record(item.index, iou=0.1 * item.index, status="held", subset=7)
    profiler.count("dropped", 2)
    profiler.count("dropped")
    profiler.note(options={"steps": 4, "sizes": (1, 2)}, machine="Ü", none=None)
    session = profiler.session(fps=25)
    assert session.counters == {"dropped": 3}
    assert session.context == {"options": {"steps": 4, "sizes": [1, 2]}, "machine": "Ü", "none": None}
    again = Session.from_json(session.to_json())
    assert again == session
    assert again.to_json() == session.to_json()
    assert Session.from_json(Profiler(clock=clock).session().to_json()).end_to_end is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": "tpc-stream profile 0"}'])
def test_from_json_refuses_what_is_no_profile(text: str) -> None:
    with pytest.raises(InputError, match="not a profile"):
        Session.from_json(text)


def test_from_json_tells_what_to_give_instead() -> None:
    with pytest.raises(InputError, match=r"not a profile but a trace: open it in ui\.perfetto\.dev"):
        Session.from_json('{"traceEvents": []}')
    with pytest.raises(InputError, match="run `tpc-stream animate` again with --report"):
        Session.from_json("{")


def test_frame_records_come_back_as_rows(profiler: Profiler) -> None:
    profiler.frame_record(1, iou=0.5, status="fresh", subset=np.int64(3))
    profiler.frame_record(3, iou=float("nan"), status="held", subset=2**40, late=1)
    profiler.frame_record(1, late=0.5)
    profiler.frame_record(4, late=2)
    assert list(profiler.session().frame_rows()) == [
        {"index": 1, "iou": 0.5, "status": "fresh", "subset": 3, "late": 0.5},
        {"index": 3, "status": "held", "subset": 2**40, "late": 1.0},
        {"index": 4, "late": 2.0},
    ]


def test_rows_carry_the_times_of_their_frame(profiler: Profiler, clock: FakeClock) -> None:
    for item in profiler.source("source", items(clock, 2, 0.5)):
        for _ in range(3):
            with profiler.span("write", item.index):
                clock.advance(0.25)
        profiler.frame_done(item.index, item.captured_seconds)
    row = {"source_ms": 500.0, "write_ms": 750.0, "end_to_end_ms": 750.0, "compute_ms": 750.0}
    zero = {"structural_ms": 0.0, "queue_ms": 0.0, "codec_ms": 0.0}
    assert list(profiler.session().frame_rows()) == [
        {"index": index, "done_seconds": 1.25 * (index + 1), **row, **zero} for index in (0, 1)
    ]


def test_frame_records_refuse_what_does_not_fit(profiler: Profiler) -> None:
    profiler.frame_record(0, status="held", iou=0.5)
    with pytest.raises(InputError, match="'status' held texts so far, got 3"):
        profiler.frame_record(1, status=3)
    with pytest.raises(InputError, match="'iou' held numbers so far, got 'bad'"):
        profiler.frame_record(1, iou="bad")
    with pytest.raises(InputError, match="got -1"):
        profiler.frame_record(-1, iou=0.5)
    with pytest.raises(InputError, match="got 5000000"):
        profiler.frame_record(5_000_000, iou=0.5)
    profiler.frame_record(1, end_to_end_ms=1.0)
    with pytest.raises(InputError, match="named end_to_end_ms"):
        profiler.session()


def test_notes_must_be_json(profiler: Profiler) -> None:
    profiler.note(options=object())
    with pytest.raises(InputError, match="a note holds what JSON cannot"):
        profiler.session()


def test_trace_keeps_the_first_spans_and_counts_the_rest(clock: FakeClock) -> None:
    profiler = Profiler(clock=clock, max_trace_spans=3)
    for k in range(5):
        with profiler.span("x", k):
            clock.advance(0.5)
    trace = profiler.session().trace
    assert trace.frames == (0, 1, 2)
    assert trace.began_us == (0.0, 0.5e6, 1e6)
    assert trace.duration_us == (0.5e6,) * 3
    assert trace.left_out == 2
    assert of(profiler.session(), "x").self_ms.count == 5


def test_nothing_recorded() -> None:
    session = Profiler().session(fps=25)
    assert (session.frames, session.wall_seconds, session.fps, session.stages) == (0, 0.0, 0.0, ())
    assert session.deadline is not None and session.deadline.misses == 0
    empty = Profiler(clock=FakeClock())
    assert list(empty.stage("stage", iter, [])) == []
    assert of(empty.session(), "stage").self_ms == Distribution()


def test_a_dropped_stage_is_closed_at_once_and_close_reaches_upstream(profiler: Profiler, clock: FakeClock) -> None:
    closed: list[str] = []

    def stage(upstream: Iterable[Item]) -> Iterator[Item]:
        try:
            for item in upstream:
                with profiler.span("open"):
                    yield item
        finally:
            closed.append("stage")

    def source() -> Iterator[Item]:
        try:
            yield from items(clock, 9, 1.0)
        finally:
            closed.append("source")

    gc.disable()
    try:
        stream = profiler.stage("stage", stage, profiler.source("source", source()))
        next(stream)
        del stream
        assert closed == ["stage", "source"]
    finally:
        gc.enable()
    stream = profiler.stage("stage", stage, kept := profiler.source("source", source()))
    next(stream)
    stream.close()
    stream.close()
    assert closed == ["stage", "source"] * 2
    assert next(kept, None) is None


def test_frame_index() -> None:
    assert frame_index(Item(3)) == 3
    assert frame_index(Carrier(Item(4))) == 4
    assert [frame_index(x) for x in (7, "text", (1, 2), [3], object())] == [NO_FRAME] * 5


def test_one_name_from_many_threads_loses_nothing() -> None:
    profiler = Profiler()

    def record() -> None:
        for k in range(500):
            with profiler.span("x", k):
                pass
            profiler.count("n")

    threads = [threading.Thread(target=record, name=f"t{k}") for k in range(4)]
    with time_limit(30):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    session = profiler.session()
    assert of(session, "x").self_ms.count == 2000
    assert session.counters == {"n": 2000}
    assert len(session.threads) == 4


def record_everything(profiler: Profiler, frames: int) -> None:
    """A bit of everything for every frame."""
    stream: Iterable[Item] = profiler.source("source", map(Item, range(frames)))
    for item in profiler.stage("stage", iter, stream):
        with profiler.span("span", item.index):
            pass
        profiler.queue_blocked("queue", capacity=2, began=0.0, ended=0.0)
        profiler.queue_waited("queue", capacity=2, began=0, ended=0, depth=1, queued=0, index=item.index)
        profiler.frame_record(item.index, status="fresh", why=f"{item.index}", iou=0.5, x=1.0, subset=3)
        profiler.frame_done(item.index, 0.0)


def test_memory_does_not_follow_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 bytes a frame: its index and when it was done; arrays grow by an eighth ahead."""
    monkeypatch.setattr(series, "MAX_VALUES", 64)
    monkeypatch.setattr(frame_table, "MAX_VALUES", 64)
    held = {}
    for frames in (257, 1025):
        tracemalloc.start()
        try:
            profiler = Profiler(max_trace_spans=100)
            record_everything(profiler, frames)
            gc.collect()
            held[frames], _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held[1025] - held[257] < 768 * 12 * 1.5
    session = profiler.session()
    assert session.frame_stride == 32 and session.frame_indices == tuple(range(0, 1025, 32))
    assert session.frame_columns["why"][:3] == ("0", "32", "64")
    assert of(session, "stage").self_ms.count == session.frames == 1025


def test_percentiles_of_a_long_run_are_within_a_quarter_of_a_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MAX_VALUES", 500)
    profiler = Profiler()
    seconds = np.random.default_rng(2).gamma(2.0, 0.02, 5000).astype(np.float32)
    for k, value in enumerate(seconds.tolist()):
        profiler.add_duration("x", value, k)
    got = of(profiler.session(), "x").self_ms
    want = 1e3 * np.percentile(seconds, [50, 90, 95, 99])
    assert [got.p50_ms, got.p90_ms, got.p95_ms, got.p99_ms] == pytest.approx(want.tolist(), rel=0.004)
    assert got.max_ms == 1e3 * float(seconds.max())
    assert got.total_ms == pytest.approx(1e3 * math.fsum(seconds.tolist()), rel=1e-9)
    assert of(profiler.session(), "x").self_ms == got  # asking twice counts nothing twice
    for _ in range(2000):
        profiler.add_duration("one frame", 0.5, 0)
    assert of(profiler.session(), "one frame").self_ms.count == 2000
