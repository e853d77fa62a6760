"""The file under a muxer: opened so that no error of it is lost, and tried where one came."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av


def open_for_muxer(path: Path) -> io.BufferedWriter:
    """A file for `av.open(file, "w", format=...)`; what is in it stays until something is written.

    Given a path, PyAV passes over an error of the very last write (a disk that fills while the file is closed); out
    of a file object it raises it. Raises OSError where the file cannot be opened.
    """
    raw = io.FileIO(path, "w", opener=lambda name, flags: os.open(name, flags & ~os.O_TRUNC, 0o666))
    raw.name = f"file:{path}"  # joining fragments reads the file again by this name, in which a colon may stand
    # A raw file may take less than it is given, which the muxer would not notice; this one goes on or raises. It holds
    # nothing back, so a killed run leaves what was written, and it runs no bytecode in which Ctrl-C could strike.
    return io.BufferedWriter(raw, buffer_size=1)


def empty_file(file: io.BufferedWriter) -> None:
    """Cut what was in the file before; OSError where that fails. A device such as /dev/full has nothing to cut."""
    if os.fstat(file.fileno()).st_size:
        file.truncate(0)


def has_picture(path: Path) -> bool:
    """Whether at least one picture of the file can be decoded."""
    try:
        with av.open(f"file:{path}") as file:
            return next(file.decode(video=0), None) is not None
    except (av.FFmpegError, OSError, IndexError):  # an IndexError: no stream of pictures in it
        return False
