"""What a run's profile says, as plain frozen data with an exact JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tpc_stream.errors import InputError

SCHEMA = "tpc-stream profile 1"
Row = dict[str, int | float | str]
_RECORD = "run `tpc-stream animate` again with --report"


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations of one kind; percentiles interpolate linearly; all 0 where count is 0."""

    count: int = 0
    total_ms: float = 0.0
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class StageSummary:
    """Self time of a stage, a source or a span."""

    name: str
    kind: str
    """"source" and "stage" are iterators; "span" stands on its own; "part" and "measured" lie inside a stage."""
    thread: str
    self_ms: Distribution
    """Per item given; a batch's time is shared equally among its items."""
    batches: int
    """Runs of items given without a pull between them; equals the count for a stage that gives one for one."""
    longest_batch_ms: float
    outside_ms: float
    """Work that no item carries, such as the flush at the end; not in self_ms."""
    share: float
    """(self_ms.total_ms + outside_ms) / wall time; with several threads the shares may add up to more than 1."""

    @property
    def busy_ms(self) -> float:
        return self.self_ms.total_ms + self.outside_ms


@dataclass(frozen=True, slots=True)
class QueueSummary:
    """One prefetch queue."""

    name: str
    capacity: int
    producer_wait: Distribution
    """Per item: how long the producer waited for room."""
    consumer_wait: Distribution
    """Per item: how long the consumer waited for it."""
    residence: Distribution
    """Per item: how long it lay in the queue."""
    mean_depth: float
    """Items ready when the consumer came; near 0 the producer is the bottleneck, near capacity the consumer."""
    max_depth: int


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """Where one thread's wall time went, from its first event to its last."""

    name: str
    wall_ms: float
    self_ms: float
    waited_ms: float
    unaccounted_ms: float


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """From a frame's capture until the sink has taken it."""

    latency: Distribution
    mean_compute_ms: float
    """Self time of the stages and spans for the frame, a batch's time shared; the source's lies before capture."""
    mean_queue_ms: float
    mean_other_ms: float
    """The rest: waiting for the other frames of a window or a batch, and what nothing accounts for."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """What a player at `fps` would see that starts at the first frame and, when one is late, waits for it."""

    fps: float
    interval_ms: float
    misses: int
    late_ms: float
    """How long such a player would have stood still in all."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The first spans with their times, by column, for a timeline."""

    names: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()
    name_ids: tuple[int, ...] = ()
    thread_ids: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    """-1 where a span belongs to no single frame."""
    began_us: tuple[float, ...] = ()
    """Microseconds since the run began."""
    duration_us: tuple[float, ...] = ()
    """Microseconds, pulls from upstream included."""
    left_out: int = 0
    """Spans beyond the limit that are not here."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run."""

    frames: int
    """Frames that the sink has taken."""
    wall_seconds: float
    fps: float
    """frames / wall_seconds; 0 where no time passed."""
    first_frame_seconds: float | None
    stages: tuple[StageSummary, ...]
    """In pipeline order where one thread runs it: a stage's first event comes after its upstream's."""
    queues: tuple[QueueSummary, ...]
    threads: tuple[ThreadSummary, ...]
    end_to_end: EndToEnd | None
    interval: Distribution | None
    """Between one frame at the sink and the next."""
    deadline: Deadline | None
    counters: Mapping[str, int]
    context: Mapping[str, Any]
    """Facts of the run, as JSON values."""
    frame_indices: tuple[int, ...] = ()
    frame_columns: Mapping[str, tuple[int | float | str | None, ...]] = field(default_factory=dict)
    """One value a frame index; None where a frame has none."""
    trace: Trace = Trace()

    @property
    def unaccounted_ms(self) -> float:
        return sum(thread.unaccounted_ms for thread in self.threads)

    def frame_rows(self) -> Iterator[Row]:
        """One dict a frame: "index", then what is known of it."""
        names = list(self.frame_columns)
        for index, *values in zip(self.frame_indices, *self.frame_columns.values(), strict=True):
            yield {"index": index, **{n: v for n, v in zip(names, values, strict=True) if v is not None}}

    def to_json(self) -> str:
        """JSON text in ASCII, as a file's name in it need not be UTF-8; from_json gives back an equal Session."""
        return "".join(self.json_pieces())

    def json_pieces(self) -> Iterator[str]:
        """The text of to_json in pieces, a frame each: written one by one, a long run's rows never stand in memory."""
        data: dict[str, Any] = {"schema": SCHEMA}
        for name in self.__dataclass_fields__:
            if name not in ("frames", "frame_indices", "frame_columns"):
                data[name] = _plain(getattr(self, name))
        data["frame_count"] = self.frames
        data["frame_columns"] = list(self.frame_columns)
        yield json.dumps(data, allow_nan=False)[:-1] + ', "frames": ['
        for number, row in enumerate(self.frame_rows()):
            yield (", " if number else "") + json.dumps(row, allow_nan=False)
        yield "]}"

    @classmethod
    def from_json(cls, text: str) -> Session:
        """The Session that to_json wrote; InputError if the text is something else."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InputError(f"not a profile: {error}; {_RECORD}") from error
        if isinstance(data, dict) and "traceEvents" in data:
            raise InputError("not a profile but a trace: open it in ui.perfetto.dev, or give the NAME.json beside it")
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise InputError(f"not a profile of this version: schema is {found!r}, wanted {SCHEMA!r}; {_RECORD}")
        rows: list[Row] = data["frames"]
        return cls(
            frames=data["frame_count"],
            wall_seconds=data["wall_seconds"],
            fps=data["fps"],
            first_frame_seconds=data["first_frame_seconds"],
            stages=tuple(StageSummary(**{**s, "self_ms": Distribution(**s["self_ms"])}) for s in data["stages"]),
            queues=tuple(_queue(q) for q in data["queues"]),
            threads=tuple(ThreadSummary(**t) for t in data["threads"]),
            end_to_end=_end_to_end(data["end_to_end"]),
            interval=None if data["interval"] is None else Distribution(**data["interval"]),
            deadline=None if data["deadline"] is None else Deadline(**data["deadline"]),
            counters=data["counters"],
            context=data["context"],
            frame_indices=tuple(int(row["index"]) for row in rows),
            frame_columns={name: tuple(row.get(name) for row in rows) for name in data["frame_columns"]},
            trace=_trace(data["trace"]),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value] if value and hasattr(value[0], "__dataclass_fields__") else list(value)
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _queue(data: dict[str, Any]) -> QueueSummary:
    waits = ("producer_wait", "consumer_wait", "residence")
    values: dict[str, Any] = {k: Distribution(**v) if k in waits else v for k, v in data.items()}
    return QueueSummary(**values)


def _trace(data: dict[str, Any]) -> Trace:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Trace(**values)


def _end_to_end(data: dict[str, Any] | None) -> EndToEnd | None:
    return None if data is None else EndToEnd(**{**data, "latency": Distribution(**data["latency"])})
