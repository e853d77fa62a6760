"""What `python -m bench gpu` writes down: a row a measurement, plain data, one JSON line each on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.gpu.memory_watch import Reading, Times, peak_gb

Kind = Literal["pass", "loop", "codec", "absent", "left out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement; what does not belong to its kind is None."""

    kind: Kind
    backend: str
    what: str = ""
    """The role of a pass; the schedule of a loop; what is coded; of others why there are no figures."""
    vae: str = ""
    steps: int | None = None
    frames: int | None = None
    """In a pass, in a window, or in a chunk."""
    tpc: bool | None = None
    count: int | None = None
    """Passes, windows, ticks or coded frames that were timed."""
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    events_ms: float | None = None
    """The median of a pass between two CUDA events."""
    fps: float | None = None
    psnr_db: float | None = None
    """Against torch in float32; of coded video against the pictures that were given."""
    kilobytes: float | None = None
    """Of a coded frame."""
    outside: float | None = None
    """Share of the time that is spent in no engine, with a wait after each pass."""
    held_gb: float | None = None
    """GPU memory that the process holds after it, beyond CUDA's own context."""
    peak_gb: float | None = None
    """The most GPU memory while it was measured, see `memory_watch.peak_gb`."""
    times: Times | None = None
    """When it was measured; none once `peak_gb` is known."""
    work: tuple[float, float] | None = None
    """Multiply-adds and bytes, counted from the networks; bytes as if nothing stayed in a cache."""
    of_matmul: float | None = None
    """Share of the card's measured fp16 matmul ceiling."""
    of_limit: float | None = None
    """The time that the ceilings allow, over the time that it took."""

    def limited(self, ceilings: Ceilings | None) -> Row:
        """With its shares of the card's limits."""
        if ceilings is None or self.work is None or not self.p50_ms:
            return self
        seconds = self.p50_ms / 1e3
        arithmetic = 2 * self.work[0] / ceilings.flops
        return replace(
            self,
            of_matmul=arithmetic / seconds,
            of_limit=max(arithmetic, self.work[1] / ceilings.bytes_per_second) / seconds,
        )

    def with_peak(self, readings: Sequence[Reading]) -> Row:
        """With its peak memory, where somebody watched."""
        return self if self.times is None else replace(self, peak_gb=peak_gb(readings, self.times), times=None)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the card can do at best, measured."""

    flops: float
    """A second, of a large fp16 product (a multiply-add is two)."""
    bytes_per_second: float
    """Read and written, of a large copy on the card."""


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """p50_ms, p90_ms, p99_ms and count."""
    p50, p90, p99 = (float(ms) for ms in 1e3 * np.percentile(seconds, (50, 90, 99)))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "count": len(seconds)}


def append(path: Path, row: Row) -> None:
    """Written at once, so that it stays where the process is ended."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def read(path: Path) -> Iterator[Row]:
    """The rows of a file; a last line that was cut off is none."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        data["work"] = None if data["work"] is None else tuple(data["work"])
        data["times"] = None if data["times"] is None else Times(**data["times"])
        yield Row(**data)


def as_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Without what is None."""
    return [{key: value for key, value in asdict(row).items() if value is not None and value != ""} for row in rows]
