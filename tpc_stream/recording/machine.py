"""The machine and the versions that a measurement was made with: a figure without them means little."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("tpc-stream", "numpy", "av", "opencv-contrib-python", "mediapipe", "onnxruntime", "numba")
"""Whose version can change a figure."""


def describe_machine() -> dict[str, object]:
    """CPU name, cores this process may use, system, Python, package versions (None where not installed)."""
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
    }


def cpu_name() -> str:
    """As the kernel tells it, such as "AMD EPYC 9254 24-Core Processor"; the architecture where it does not."""
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def package_version(package: str) -> str | None:
    """The installed version; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
