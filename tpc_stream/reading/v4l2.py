"""Which cameras Linux knows, and what they can give: V4L2's own questions, asked of each device file."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Ask = Callable[[int, int, bytearray], object]
"""fcntl.ioctl: descriptor, request, and the structure that is filled in."""

# Requests of linux/videodev2.h: direction, size of the structure, "V", number.
_QUERYCAP = 0x80685600
_ENUM_FMT = 0xC0405602
_ENUM_FRAMESIZES = 0xC02C564A
_CAPTURE, _OUTPUT = 0x1, 0x2
_HAS_DEVICE_CAPS = 0x80000000
_DISCRETE = 1
_MOST = 64
"""Formats, and sizes of each, that are listed; a driver that names more repeats itself."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One device file that pictures come out of, or, where it is a virtual camera's, go into."""

    path: str
    name: str
    formats: tuple[str, ...]
    """Such as "YUYV 640x480 1280x720"."""
    takes_pictures: bool = False
    """A loopback device that waits for pictures: an output, virtualcam:PATH."""


def list_cameras(*, folder: Path = Path("/dev"), ask: Ask | None = None) -> list[Camera]:
    """Every /dev/video* that can be asked, by number. A device that gives only metadata is left out."""
    if ask is None:
        if not sys.platform.startswith("linux"):
            return []
        from fcntl import ioctl

        ask = ioctl
    found = []
    for path in sorted(folder.glob("video*"), key=lambda p: int(p.name.removeprefix("video") or -1)):
        camera = _camera(path, ask)
        if camera is not None:
            found.append(camera)
    return found


def _camera(path: Path, ask: Ask) -> Camera | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return Camera(str(path), f"cannot be opened ({error.strerror})", ())
    try:
        capability = bytearray(104)
        ask(descriptor, _QUERYCAP, capability)
        name = bytes(capability[16:48]).split(b"\0")[0].decode("utf-8", "replace")
        every, own = struct.unpack_from("=II", capability, 84)
        can = own if every & _HAS_DEVICE_CAPS else every
        if not can & (_CAPTURE | _OUTPUT):
            return None
        formats = tuple(_formats(descriptor, ask)) if can & _CAPTURE else ()
        return Camera(str(path), name, formats, takes_pictures=not formats and bool(can & _OUTPUT))
    except OSError as error:
        return Camera(str(path), f"does not answer ({error.strerror})", ())
    finally:
        os.close(descriptor)


def _formats(descriptor: int, ask: Ask) -> Iterator[str]:
    for number in range(_MOST):
        query = bytearray(64)
        struct.pack_into("=II", query, 0, number, 1)  # 1: a single-planar capture
        if not _answered(descriptor, _ENUM_FMT, query, ask):
            return
        code = bytes(query[44:48])
        sizes = " ".join(_sizes(descriptor, code, ask))
        yield f"{code.decode('ascii', 'replace').strip()} {sizes}".strip()


def _sizes(descriptor: int, code: bytes, ask: Ask) -> Iterator[str]:
    for number in range(_MOST):
        query = bytearray(44)
        struct.pack_into("=I4s", query, 0, number, code)
        if not _answered(descriptor, _ENUM_FRAMESIZES, query, ask):
            return
        kind, first, second, _, least_height, most_height = struct.unpack_from("=6I", query, 8)
        if kind != _DISCRETE:
            yield f"{first}x{least_height} to {second}x{most_height}"
            return
        yield f"{first}x{second}"


def _answered(descriptor: int, request: int, query: bytearray, ask: Ask) -> bool:
    """Whether there is such an entry; a list ends with EINVAL, and drivers without the question say ENOTTY."""
    try:
        ask(descriptor, request, query)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            return False
        raise
    return True
