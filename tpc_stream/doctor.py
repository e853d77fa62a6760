"""`tpc-stream doctor`: what is here, what is missing, and the command that installs it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tpc_stream.finding import Finding
from tpc_stream.system_libraries import SYSTEM_LIBRARIES, install_command, missing_packages

PACKAGES = ("numpy", "av", "opencv-contrib-python", "mediapipe", "onnxruntime", "numba", "typer", "rich")


def examine(console: Console) -> bool:
    """Prints one screen and returns whether the default path works."""
    table = Table(show_header=False, box=None, pad_edge=False)
    healthy = True
    for finding in findings():
        healthy = healthy and (finding.good or not finding.needed)
        mark = "[green]ok[/]" if finding.good else ("[red]missing[/]" if finding.needed else "[yellow]none[/]")
        detail = finding.detail + (f" -> {finding.mend}" if finding.mend else "")
        table.add_row(mark, finding.what, Text(detail))  # no markup: pip's extras stand in brackets
    console.print(table)
    console.print(
        "the default path works" if healthy else "the default path does not work: see the lines marked missing"
    )
    return healthy


def findings() -> Iterator[Finding]:
    """Everything that is examined, in order."""
    from tpc_stream.doctor_gpu import gpu_findings

    supported = sys.version_info >= (3, 11)
    yield Finding("python", supported, platform.python_version(), "" if supported else "install Python 3.11 or newer")
    cores = len(os.sched_getaffinity(0))
    yield Finding("machine", True, f"{platform.platform()}, {platform.machine()}, {cores} cores")
    for name in PACKAGES:
        yield _package(name)
    missing = missing_packages()
    libraries = ", ".join(SYSTEM_LIBRARIES)
    yield Finding("system libraries", not missing, libraries, install_command(missing) if missing else "")
    yield from _pose()
    yield from _codecs()
    yield from _providers()
    yield from _bundles()
    cameras = sorted(str(path) for path in Path("/dev").glob("video*"))
    yield Finding("cameras", bool(cameras), ", ".join(cameras) or "no /dev/video*", needed=False)
    yield from gpu_findings()


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", f"pip install {name}")


def _pose() -> Iterator[Finding]:
    import numpy as np

    from tpc_stream.errors import TpcStreamError
    from tpc_stream.pose import PoseEstimator

    try:
        with PoseEstimator() as estimator:
            estimator.estimate(np.zeros((64, 64, 3), np.uint8))
    except (TpcStreamError, ImportError, OSError) as error:
        yield Finding("pose estimator", False, str(error).splitlines()[0], "see the lines above")
    else:
        yield Finding("pose estimator", True, "MediaPipe ran on a blank picture")


def _codecs() -> Iterator[Finding]:
    import av

    for name, encoder in (("h264", "libx264"), ("hevc", "libx265"), ("vp9", "libvpx-vp9"), ("av1", "libsvtav1")):
        there = encoder in av.codecs_available
        mend = "" if there else "pip install --force-reinstall av (its wheels have it)"
        yield Finding(f"codec {name}", there, encoder if there else "no encoder", mend, needed=name == "h264")


def _providers() -> Iterator[Finding]:
    import onnxruntime as ort

    providers = ort.get_available_providers()
    yield Finding("onnxruntime providers", "CPUExecutionProvider" in providers, ", ".join(providers))


def _bundles() -> Iterator[Finding]:
    from tpc_stream.backends import open_backend
    from tpc_stream.bundle import DEFAULT_BUNDLE, bundle_folders, open_bundle
    from tpc_stream.errors import TpcStreamError

    names = {path.parent.name for folder in bundle_folders() for path in folder.glob("*/manifest.toml")}
    for name in sorted(names | {DEFAULT_BUNDLE}):
        try:
            bundle = open_bundle(name)
            backend = open_backend("onnxrt")
            for graph in bundle.manifest.graphs.values():
                backend.open(graph).close()
        except TpcStreamError as error:
            yield Finding(f"bundle {name}", False, str(error), "restore or export it", needed=name == DEFAULT_BUNDLE)
        else:
            yield Finding(f"bundle {name}", True, f"{bundle.folder}, every graph opens in {backend.describe()}")
