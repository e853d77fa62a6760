"""`python -m bench NAME [options]`: measure one thing."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "attention",
    "calibration",
    "cuts",
    "glass",
    "gpu",
    "hour",
    "jitter",
    "kills",
    "latency",
    "long",
    "memory",
    "misalignment",
    "overload",
    "people",
    "photographs",
    "profile_overhead",
    "quality",
    "recovery",
    "seams",
    "steadying",
    "tpc_cost",
    "training_curve",
    "transforms",
    "workers",
)


def main(arguments: list[str]) -> int:
    """Run `bench.NAME.main(options)`; only that benchmark's packages are imported."""
    if not arguments or arguments[0] not in NAMES:
        got = arguments[0] if arguments else "no name"
        print(f"usage: python -m bench {{{'|'.join(NAMES)}}} [options]; got {got}", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"bench.{arguments[0]}").main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
