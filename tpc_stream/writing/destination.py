"""What the name of an output means: a file, pictures, a network stream, a pipe, a virtual camera, or nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Literal

from tpc_stream.errors import SinkError
from tpc_stream.writing.output_path import is_picture_sequence

DestinationKind = Literal["file", "pictures", "stream", "pipe", "virtualcam", "none"]
PreviewKind = Literal["window", "terminal"]
RawFormat = Literal["rgb24", "bgr24", "y4m"]

STREAM_FORMATS: Mapping[str, str] = {
    "rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts",
}  # fmt: skip
"""The container that each kind of address is served in."""


def destination_of(path: str) -> DestinationKind:
    """What kind of output the name means. Raises SinkError for an address of a kind that is not written to."""
    if path in ("-", "pipe:"):
        return "pipe"
    if path == "none":
        return "none"
    if path == "virtualcam" or path.startswith("virtualcam:"):
        return "virtualcam"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) and not path.startswith("file://"):
        if scheme_of(path) not in STREAM_FORMATS:
            raise SinkError(f"cannot stream to {path}: give {', '.join(f'{name}://...' for name in STREAM_FORMATS)}")
        return "stream"
    return "pictures" if is_picture_sequence(path) else "file"


def scheme_of(url: str) -> str:
    """Such as rtmp."""
    return url.split("://")[0].lower()


def camera_device(path: str) -> str | None:
    """The device of virtualcam:/dev/video2; None where the first that is free will do."""
    return path.partition(":")[2] or None


def is_terminal(descriptor: int) -> bool:
    """Whether raw pictures would land on somebody's screen."""
    return os.isatty(descriptor)
