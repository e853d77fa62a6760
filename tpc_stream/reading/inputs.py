"""What a source's name means: a file, a URL, a camera, a screen or a pipe."""

from __future__ import annotations

import re
from typing import Literal

from tpc_stream.reading.devices import camera_path

InputKind = Literal["file", "url", "camera", "screen", "pipe"]

_LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt"})


def kind_of(name: str) -> InputKind:
    """What kind of source the name means; nothing is opened or looked up."""
    if name == "-" or name.startswith("pipe:"):
        return "pipe"
    if name.startswith("screen:"):
        return "screen"
    if camera_path(name) is not None:
        return "camera"
    return "url" if is_url(name) else "file"


def is_url(name: str) -> bool:
    """Whether the name goes to the network and not to the file system."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None


def is_live_scheme(url: str) -> bool:
    """Whether a URL of this scheme has no end and no beginning. Of http only the answer tells."""
    return url.split("://")[0].lower() in _LIVE_SCHEMES


def may_be_live(name: str) -> bool:
    """Whether the source is, or may turn out to be, one that cannot be opened twice."""
    return kind_of(name) != "file"
