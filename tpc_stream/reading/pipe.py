"""Pictures from a pipe: - or pipe: for what says itself what it is, pipe:640x480 for raw pixels."""

from __future__ import annotations

import os
import re
import select
import sys
from dataclasses import dataclass
from fractions import Fraction

from tpc_stream.errors import InputError
from tpc_stream.reading.source_info import SourceOptions

POLL_SECONDS = 0.1
"""How soon a reader that waits for the pipe sees that nobody wants more."""
RAW_FORMATS = ("rgb24", "bgr24", "rgba", "bgra", "gray", "yuv420p", "nv12")

_RAW = re.compile(r"(?:(?P<format>[a-z0-9]+):)?(?P<width>\d+)x(?P<height>\d+)(?:@(?P<rate>\d+(?:/\d+|\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class PipeFormat:
    """What comes through the pipe."""

    format: str | None
    """FFmpeg's name for it; None: it finds out (MJPEG, PNG, MPEG-TS, Matroska, Y4M, ...)."""
    options: dict[str, str]


class PipeReader:
    """A pipe as a file for FFmpeg: read where something is there, and left where `interrupt` was called."""

    def __init__(self, descriptor: int) -> None:
        self.name = "the pipe"
        self._descriptor = descriptor
        self._interrupted = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are some; none at the end, or once interrupted."""
        while not self._interrupted:
            ready, _, _ = select.select([self._descriptor], [], [], POLL_SECONDS)
            if ready:
                return os.read(self._descriptor, size)
        return b""

    def interrupt(self) -> None:
        """Ends a read within POLL_SECONDS."""
        self._interrupted = True


def open_pipe() -> PipeReader:
    """The standard input. Raises InputError where it is a terminal, from which no pictures come."""
    if sys.__stdin__ is None or sys.__stdin__.closed:
        raise InputError("there is no standard input to read pictures from: pipe them in, as in ... | tpc-stream ...")
    if os.isatty(sys.__stdin__.fileno()):
        raise InputError("the standard input is a terminal: pipe the pictures in, as in ffmpeg ... | tpc-stream ...")
    return PipeReader(sys.__stdin__.fileno())


def pipe_format(name: str, options: SourceOptions) -> PipeFormat:
    """What a name such as -, pipe: or pipe:rgb24:640x480@30 says of the pictures. Raises InputError."""
    text = "" if name == "-" else name.removeprefix("pipe:")
    rate = Fraction(options.image_rate)
    if not text:
        return PipeFormat(None, {"framerate": str(rate)})
    match = _RAW.fullmatch(text)
    if match is None or not int(match["width"]) or not int(match["height"]):
        raise InputError(
            f"raw pictures from a pipe are named pipe:[FORMAT:]WxH[@RATE], such as pipe:rgb24:640x480@30, got {name!r}"
        )
    pixels = match["format"] or "rgb24"
    if pixels not in RAW_FORMATS:
        raise InputError(f"raw pictures come in {', '.join(RAW_FORMATS)}, got {pixels!r} in {name!r}")
    size = f"{match['width']}x{match['height']}"
    rate = Fraction(match["rate"]) if match["rate"] else rate
    if not rate > 0:
        raise InputError(f"the rate of raw pictures must be above zero, got {name!r}")
    return PipeFormat("rawvideo", {"pixel_format": pixels, "video_size": size, "framerate": str(rate)})
