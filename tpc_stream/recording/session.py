"""What a run's profile says, as plain frozen data with an exact JSON form; docs/profile.md tells it field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tpc_stream.errors import InputError
from tpc_stream.recording.summaries import (
    Deadline,
    Distribution,
    EndToEnd,
    QueueSummary,
    StageSummary,
    ThreadSummary,
    Trace,
)

__all__ = [
    "SCHEMA",
    "Deadline",
    "Distribution",
    "EndToEnd",
    "QueueSummary",
    "Row",
    "Session",
    "StageSummary",
    "ThreadSummary",
    "Trace",
]

SCHEMA = "tpc-stream profile 2"
"""The number rises when a reader of the older form would misread the newer; new fields alone do not raise it."""
Row = dict[str, int | float | str]
Ranges = tuple[tuple[int, int], ...]
_RECORD = "run `tpc-stream animate` again with --report"


@dataclass(frozen=True, slots=True)
class Session:
    """One run."""

    frames: int
    """Frames that the sink has taken."""
    wall_seconds: float
    fps: float
    """frames / wall_seconds; 0 where no time passed."""
    first_frame_seconds: float | None
    """From the start of the run until the sink had its first frame."""
    end_to_end: EndToEnd | None
    deadline: Deadline | None
    interval: Distribution | None
    """Between one frame at the sink and the next."""
    stages: tuple[StageSummary, ...]
    """In pipeline order where one thread runs it: a stage's first event comes after its upstream's."""
    queues: tuple[QueueSummary, ...]
    threads: tuple[ThreadSummary, ...]
    counters: Mapping[str, int]
    context: Mapping[str, Any]
    """Facts of the run, as JSON values."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """The machine and the versions, as JSON values."""
    events: Mapping[str, Ranges] = field(default_factory=dict)
    """Indices of the frames "dropped", "repeated" and "held", as ranges, both ends included, in order."""
    frame_stride: int = 1
    """Rows are kept of the frames whose index is a multiple of it; 1 unless the run was long."""
    frame_indices: tuple[int, ...] = ()
    frame_columns: Mapping[str, tuple[int | float | str | None, ...]] = field(default_factory=dict)
    """One value a frame index; None where a frame has none."""
    trace: Trace = field(default_factory=Trace)

    @property
    def unaccounted_ms(self) -> float:
        return sum(thread.unaccounted_ms for thread in self.threads)

    def event_count(self, event: str) -> int:
        """How many frames were "dropped", "repeated" or "held"."""
        return sum(last - first + 1 for first, last in self.events.get(event, ()))

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
        data: dict[str, Any] = {"schema": SCHEMA, "frame_count": self.frames}
        data |= {f"frames_{event}": self.event_count(event) for event in ("dropped", "repeated", "held")}
        for name in self.__dataclass_fields__:
            if name not in ("frames", "frame_indices", "frame_columns"):
                data[name] = _plain(getattr(self, name))
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
            end_to_end=None if data["end_to_end"] is None else _filled(EndToEnd, data["end_to_end"], flat="latency"),
            deadline=None if data["deadline"] is None else Deadline(**data["deadline"]),
            interval=None if data["interval"] is None else Distribution(**data["interval"]),
            stages=tuple(_filled(StageSummary, stage, flat="self_ms") for stage in data["stages"]),
            queues=tuple(_filled(QueueSummary, queue) for queue in data["queues"]),
            threads=tuple(ThreadSummary(**t) for t in data["threads"]),
            counters=data["counters"],
            context=data["context"],
            environment=data["environment"],
            events={name: tuple((first, last) for first, last in ranges) for name, ranges in data["events"].items()},
            frame_stride=data["frame_stride"],
            frame_indices=tuple(int(row["index"]) for row in rows),
            frame_columns={name: tuple(row.get(name) for row in rows) for name in data["frame_columns"]},
            trace=_trace(data["trace"]),
        )


def _plain(value: Any) -> Any:
    """As JSON has it; the distribution that an entry is about stands among the entry's own fields."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if not hasattr(value, "__dataclass_fields__"):
        return value
    data: dict[str, Any] = asdict(value)
    for name in ("self_ms", "latency"):
        if isinstance(data.get(name), dict):
            data |= data.pop(name)
    return data


def _trace(data: dict[str, Any]) -> Trace:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Trace(**values)


def _filled(kind: Any, data: dict[str, Any], *, flat: str | None = None) -> Any:
    """The summary that _plain wrote; `flat` names the distribution that stands among the entry's own fields."""
    fields = Distribution.__dataclass_fields__
    values = {
        k: Distribution(**v) if isinstance(v, dict) else v for k, v in data.items() if not flat or k not in fields
    }
    if flat:
        values[flat] = Distribution(**{k: data[k] for k in fields})
    return kind(**values)
