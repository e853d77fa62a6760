"""Cameras by name: webcam, webcam:1, /dev/video0 (Linux, v4l2)."""

from __future__ import annotations

import re
from pathlib import Path

from tpc_stream.errors import SourceError
from tpc_stream.reading.source_info import SourceOptions

CAMERA_FORMAT = "v4l2"


def camera_path(name: str) -> str | None:
    """The device file that the name means, or None if it does not name a camera."""
    if match := re.fullmatch(r"webcam(?::(\d+))?", name):
        return f"/dev/video{match[1] or 0}"
    return name if re.fullmatch(r"/dev/(video\d+|v4l/.+)", name) else None


def check_camera(path: str, *, folder: Path = Path("/dev")) -> None:
    """Raises SourceError, naming the cameras that are there, if the device file does not exist."""
    if Path(path).exists():
        return
    others = sorted(str(p) for p in folder.glob("video*"))
    there = f"there are {', '.join(others)}" if others else "this machine has none (no /dev/video*)"
    raise SourceError(f"there is no camera at {path}: {there}")


def camera_options(options: SourceOptions) -> dict[str, str]:
    """What v4l2 is asked for."""
    asked = {}
    if options.camera_size is not None:
        asked["video_size"] = f"{options.camera_size[0]}x{options.camera_size[1]}"
    if options.camera_rate is not None:
        asked["framerate"] = str(options.camera_rate)
    return asked
