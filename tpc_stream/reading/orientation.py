"""Which way up a picture is: display matrices of videos and EXIF orientations of stills, applied to arrays."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_EXIF_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a picture on its grid: first transpose, then flip."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def mirrored(self) -> bool:
        """An odd number of reflections: no turn alone does it."""
        return self.transpose ^ self.flip_x ^ self.flip_y

    @property
    def rotation_degrees(self) -> int:
        """Clockwise turn, after a left-right mirror if mirrored: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """The picture upright: HW or HWC in, contiguous HW or HWC out."""
        if self.transpose:
            image = np.swapaxes(image, 0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


UPRIGHT = Orientation()

_FROM_EXIF = {
    1: UPRIGHT,
    2: Orientation(flip_x=True),
    3: Orientation(flip_x=True, flip_y=True),
    4: Orientation(flip_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_x=True),
    7: Orientation(transpose=True, flip_x=True, flip_y=True),
    8: Orientation(transpose=True, flip_y=True),
}
_FROM_ROTATION = {0: _FROM_EXIF[1], 90: _FROM_EXIF[6], 180: _FROM_EXIF[3], 270: _FROM_EXIF[8]}


def orientation_of_frame(frame: av.VideoFrame) -> Orientation:
    """What the frame's display matrix asks for, taken to the nearest right angle."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV lists no side data at all if one kind is newer than its own table; the angle is still there,
        # a mirror is not.
        return _FROM_ROTATION[round(-frame.rotation / 90) % 4 * 90]
    if data is None:
        return UPRIGHT
    return orientation_of_matrix(struct.unpack("=9i", bytes(data)))  # type: ignore[call-overload]


def orientation_of_matrix(matrix: tuple[int, ...]) -> Orientation:
    """FFmpeg's display matrix (a b u c d v x y w): x' = a x + c y, y' = b x + d y, y points down."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(flip_x=a < 0, flip_y=d < 0)
    return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)


def orientation_of_file(data: bytes) -> Orientation | None:
    """What the EXIF block of a JPEG, PNG, WebP or TIFF file asks for; None if the file has no such block."""
    block = _exif_block(data)
    if block is None or block[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if block[:2] == b"II" else ">"
    try:
        (offset,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, offset)
        for k in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, offset + 2 + 12 * k)
            if tag == _EXIF_TAG:
                return _FROM_EXIF.get(value)
    except struct.error:  # a block that is cut off says nothing
        return None
    return None


def _exif_block(data: bytes) -> bytes | None:
    """The TIFF structure that holds the EXIF tags."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return data
    if data[:2] == b"\xff\xd8":
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
                return data[at + 10 : at + 2 + size]
            at += 2 + size
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        return _chunk(data, at=8, size_first=True, name=b"eXIf")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        block = _chunk(data, at=12, size_first=False, name=b"EXIF")
        return block.removeprefix(b"Exif\0\0") if block else None
    return None


def _chunk(data: bytes, *, at: int, size_first: bool, name: bytes) -> bytes | None:
    """The named chunk of a PNG (size, name, data, checksum) or RIFF (name, size, data, padded to even) file."""
    while at + 8 <= len(data):
        head = data[at : at + 8]
        size = int.from_bytes(head[:4], "big") if size_first else int.from_bytes(head[4:], "little")
        if (head[4:] if size_first else head[:4]) == name:
            return data[at + 8 : at + 8 + size]
        at += 12 + size if size_first else 8 + size + size % 2
    return None
