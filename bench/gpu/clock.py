"""Timing that waits for the GPU, memory that the process holds of it; on a CPU the same without either."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any, cast

from bench.gpu.rows import percentiles
from tpc_stream.engine import Array, Engine, ResidentEngine, Value, placing
from tpc_stream.resident import Device, Resident


class Clock:
    """Of one process.

    Args:
        device: "cuda" or "cpu".
    """

    def __init__(self, device: str) -> None:
        self.cuda: Any = None
        if device == "cuda":
            import torch

            self.cuda = torch.cuda
        self._held_before = self._used()

    def wait(self) -> None:
        """Until the GPU has done all it was given."""
        if self.cuda is not None:
            self.cuda.synchronize()

    def held_gb(self) -> float | None:
        """GPU memory that was taken since the start; None on a CPU."""
        return None if self.cuda is None else (self._used() - self._held_before) / 1e9

    def _used(self) -> int:
        if self.cuda is None:
            return 0
        free, total = self.cuda.mem_get_info()
        return int(total - free)

    def time(self, run: Callable[[], object], *, passes: int, warm_ups: int, until: float) -> dict[str, Any]:
        """p50_ms, p90_ms, p99_ms, count, and on a GPU events_ms; fewer passes where `until` (monotonic) has come."""
        for _ in range(warm_ups):
            run()
        self.wait()
        seconds, events = [], []
        for _ in range(passes):
            marks = None if self.cuda is None else [self.cuda.Event(enable_timing=True) for _ in range(2)]
            begun = time.perf_counter()
            if marks is not None:
                marks[0].record()
            run()
            if marks is not None:
                marks[1].record()
            self.wait()
            seconds.append(time.perf_counter() - begun)
            if marks is not None:
                events.append(marks[0].elapsed_time(marks[1]))
            if time.monotonic() > until:
                break
        found = percentiles(seconds)
        return found if not events else found | {"events_ms": sorted(events)[len(events) // 2]}


class Watched:
    """An engine whose time is summed up; `waiting` makes each call wait for the GPU, so that the sum is true."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.waiting = False
        self.seconds = 0.0
        self.calls = 0

    @property
    def device(self) -> Device | None:
        return placing(self._engine)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        with self._timed():
            return self._engine(inputs)

    def kept(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        with self._timed():
            return cast(ResidentEngine, self._engine).kept(inputs)

    def close(self) -> None:
        self._engine.close()

    @contextmanager
    def _timed(self) -> Any:
        begun = time.perf_counter()
        try:
            yield
            if self.waiting:
                self._clock.wait()
        finally:
            self.seconds += time.perf_counter() - begun
            self.calls += 1
