"""The GPU memory in use, asked for all the time: `python -m bench.gpu.memory_watch FILE SECONDS`.

A process of its own: a thread would take turns with the Python that is measured, and a call to CUDA beside a recording
can spoil the recording. The driver's count, since each library knows its own part alone, torch its tensors and ONNX
Runtime its arena: the driver knows all of it, CUDA's own context included.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY_SECONDS = 0.002
"""From one question to the next; what is held for less may be missed. Allocators keep what they took."""
TOLD_SECONDS = 1.0
"""A reading is written at least so often, even where nothing changed, so that an end of the watching shows."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What all processes held together, from then until the next reading."""

    seconds: float
    """On the monotonic clock, which the processes of a machine share."""
    used_bytes: int


@dataclass(frozen=True, slots=True)
class Times:
    """When a row was measured, on the same clock."""

    process: float
    """Its process had not touched the GPU yet."""
    begun: float
    ended: float


def watch(
    used: Callable[[], int], *, seconds: float, clock: Callable[[], float], sleep: Callable[[float], object]
) -> Iterator[Reading]:
    """Asks `used` every `EVERY_SECONDS`; gives each change, and one reading a second."""
    told: Reading | None = None
    end = clock() + seconds
    while (now := clock()) < end:
        found = used()
        if told is None or found != told.used_bytes or now - told.seconds >= TOLD_SECONDS:
            told = Reading(now, found)
            yield told
        sleep(EVERY_SECONDS)


def peak_gb(readings: Sequence[Reading], times: Times) -> float | None:
    """The most that was in use while the row was measured, above what was in use before its process began, in 1e9
    bytes; None where nobody watched all that while."""
    if not readings or readings[0].seconds > times.process or readings[-1].seconds < times.ended - 2 * TOLD_SECONDS:
        return None
    before = [reading.used_bytes for reading in readings if reading.seconds <= times.process][-1]
    at_first = [reading.used_bytes for reading in readings if reading.seconds <= times.begun][-1]
    within = [reading.used_bytes for reading in readings if times.begun < reading.seconds <= times.ended]
    return (max([at_first, *within]) - before) / 1e9


def read_readings(path: Path) -> list[Reading]:
    """Of a file that may still be written to: a last line without its end is none."""
    if not path.is_file():
        return []
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [Reading(float(seconds), int(used)) for seconds, used in lines]


def main(argv: list[str]) -> int:
    import torch

    path, seconds = argv

    def used() -> int:
        free, total = torch.cuda.mem_get_info()
        return int(total - free)

    with Path(path).open("w", encoding="utf-8", buffering=1) as file:
        for reading in watch(used, seconds=float(seconds), clock=time.monotonic, sleep=time.sleep):
            file.write(f"{reading.seconds:.6f} {reading.used_bytes}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
