"""What the card can do at best: copying on it, and a large fp16 product. `python -m bench.gpu.ceilings DEVICE`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from bench.gpu.rows import Ceilings

REPEATS = 10


def measure(device: str, *, copied: int, side: int, seconds: float = 1.0) -> Ceilings:
    """The best of what was tried for so many seconds each.

    Args:
        copied: bytes of the copy. side: of the square matrices.
    """
    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    source = torch.ones(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copying = _best(lambda: target.copy_(source), wait, seconds)
    a, b = (torch.randn(side, side, device=device).half() for _ in range(2))
    product = torch.empty_like(a)
    multiplying = _best(lambda: torch.mm(a, b, out=product), wait, seconds)
    return Ceilings(flops=2 * side**3 / multiplying, bytes_per_second=2 * copied / copying)


def _best(run: Callable[[], Any], wait: Callable[[], Any], seconds: float) -> float:
    """The least seconds of one of `REPEATS` in a row: a card may slow down when it grows warm."""
    for _ in range(3):
        run()
    wait()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        for _ in range(REPEATS):
            run()
        wait()
        best = min(best, (time.perf_counter() - begun) / REPEATS)
    return best


def main(argv: list[str]) -> int:
    (device,) = argv
    if device == "cuda":
        found = measure(device, copied=1 << 30, side=8192)
        name = torch.cuda.get_device_name()
    else:
        torch.set_num_threads(1)
        found, name = measure(device, copied=1 << 24, side=128, seconds=0.05), "CPU"
    told = asdict(found) | {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
