"""What a Session is made of: distributions of durations, and what was said of one stage, queue, thread, frame's way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations of one kind; percentiles interpolate linearly, past 8192 durations within 0.25 %; all 0 without one."""

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
    """From a frame's capture until the sink has taken it, and where that time went: see recording/ledger.py."""

    latency: Distribution
    structural: Distribution
    """Waiting for the frames that it is processed with: the window, the chunk."""
    queue: Distribution
    """Lying in queues, and waiting for its turn behind frames that were ready before it."""
    compute: Distribution
    """Stages at work on it or on its companions."""
    codec: Distribution
    """Decoding after the capture, encoding."""
    unaccounted_ms: float
    """Mean per frame: the latency's less those of the four parts."""
    unaccounted_share: float
    """unaccounted_ms / latency.mean_ms; 0 where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """What a player at `fps` would see that starts at the first frame and, when one is late, waits for it."""

    fps: float
    interval_ms: float
    misses: int
    miss_rate: float
    """misses / frames, [0, 1]; dropped frames are counted apart."""
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
    """Microseconds; a stage's span begins when its last pull ended, so it holds work alone."""
    left_out: int = 0
    """Spans beyond the limit that are not here."""
