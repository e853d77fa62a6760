"""Results that can be kept and compared: one line a scenario, with its stages, and the machine that it was made on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.early_stopping import estimate
from tpc_stream.recording.machine import describe_machine
from tpc_stream.recording.session import Session

SCHEMA = "tpc-stream bench latency 1"
PERCENTS = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one scenario measured. Times are milliseconds."""

    scenario: str
    setting: str
    rate: float | None
    """Frames per second that were offered; None where frames were offered as they were taken."""
    samples: int
    frames_per_sample: int
    fps: float
    first_frame_seconds: float
    latency: dict[str, float]
    """p50_ms, p90_ms, p95_ms, p99_ms and max_ms of a sample."""
    percentile: float
    """The scenario's own: 0.9 for SingleStream, 0.99 for Live."""
    value_ms: float
    bound_ms: float | None
    """With 99 % confidence the true percentile is not above it; None: too few samples to say."""
    misses: int
    miss_rate: float
    parts: dict[str, float]
    """Means of a frame's way: structural, queue, compute, codec, unaccounted."""
    stages: dict[str, dict[str, float]]
    """By stage: p50_ms, p90_ms, p99_ms and share of the wall time."""

    @classmethod
    def of(
        cls,
        scenario: str,
        setting: str,
        session: Session,
        latencies: Sequence[float],
        percentile: float,
        *,
        rate: float | None = None,
        per_sample: int = 1,
    ) -> Result:
        """From a run's profile and its samples, milliseconds each."""
        way, due = session.end_to_end, session.deadline
        parts = {} if way is None else {p: getattr(way, p).mean_ms for p in ("structural", "queue", "compute", "codec")}
        own = estimate(latencies, percentile)
        return cls(
            scenario=scenario,
            setting=setting,
            rate=rate,
            samples=len(latencies),
            frames_per_sample=per_sample,
            fps=session.fps,
            first_frame_seconds=session.first_frame_seconds or 0.0,
            latency={f"p{p}_ms": estimate(latencies, p / 100).value for p in PERCENTS} | {"max_ms": max(latencies)},
            percentile=percentile,
            value_ms=own.value,
            bound_ms=own.bound,
            misses=due.misses if due is not None and rate is not None else 0,
            miss_rate=due.miss_rate if due is not None and rate is not None else 0.0,
            parts=parts if way is None else {**parts, "unaccounted": way.unaccounted_ms},
            stages={
                stage.name: {
                    "p50_ms": stage.self_ms.p50_ms,
                    "p90_ms": stage.self_ms.p90_ms,
                    "p99_ms": stage.self_ms.p99_ms,
                    "share": stage.share,
                }
                for stage in session.stages
            },
        )

    @property
    def key(self) -> tuple[str, str, float | None]:
        return self.scenario, self.setting, self.rate


def environment(**choices: Any) -> dict[str, Any]:
    """The machine, the versions and the choices, with a fingerprint: figures of another one compare loosely at best."""
    facts = {**describe_machine(), **choices}
    text = json.dumps(facts, sort_keys=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"fingerprint": hashlib.sha256(text.encode()).hexdigest()[:12], **facts, "load_average": load}


def write(path: Path, results: Sequence[Result], facts: dict[str, Any]) -> None:
    data = {"schema": SCHEMA, "environment": facts, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def read(path: Path) -> tuple[list[Result], dict[str, Any]]:
    """What `write` wrote. Raises ValueError, in one line, for anything else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no result file: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no result file of this version; make one with python -m bench latency --json")
    return [Result(**result) for result in data["results"]], data["environment"]


def compare(new: Sequence[Result], old: Sequence[Result]) -> Table:
    """The ratio new / old of every scenario that both have: its figure, its rate, and each stage's median."""
    table = Table(title="Ratio to the older result: below 1 is faster for times", title_justify="left")
    for column in ("scenario", "figure", "older", "newer", "ratio"):
        table.add_column(column, justify="left" if column in ("scenario", "figure") else "right")
    before = {result.key: result for result in old}
    for result in new:
        other = before.get(result.key)
        if other is None:
            continue
        name = f"{result.scenario} {result.setting}" + (f" {result.rate:g}/s" if result.rate else "")
        rows = [
            (f"p{100 * result.percentile:g} ms", other.value_ms, result.value_ms),
            ("frames/s", other.fps, result.fps),
            *((stage, other.stages[stage]["p50_ms"], times["p50_ms"]) for stage, times in result.stages.items()
              if stage in other.stages),
        ]  # fmt: skip
        for figure, was, now in rows:
            table.add_row(name, figure, f"{was:.2f}", f"{now:.2f}", f"{now / was:.3f}" if was else "-")
            name = ""
        table.add_section()
    return table


def differences(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """What is not the same in two environments, in words."""
    names = [name for name in new if name not in ("fingerprint", "load_average") and new[name] != old.get(name)]
    return [f"{name}: {old.get(name)} then, {new[name]} now" for name in names]
