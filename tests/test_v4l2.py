"""Listing cameras: V4L2's answers, given by a driver of our own."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from tpc_stream.commands.devices import describe_devices
from tpc_stream.reading.v4l2 import Camera, list_cameras

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC02C564A
CAPTURE, OUTPUT, METADATA, OWN = 0x1, 0x2, 0x00800000, 0x80000000


class Driver:
    """Answers for the devices in the order in which they are asked."""

    def __init__(self, *capabilities: int) -> None:
        self._capabilities = list(capabilities)
        self._now = 0

    def __call__(self, descriptor: int, request: int, query: bytearray) -> None:
        if request == QUERYCAP:
            self._now = self._capabilities.pop(0)
            if not self._now:
                raise OSError(errno.EIO, "Input/output error")
            query[16:26] = b"Camera one"
            struct.pack_into("=II", query, 84, CAPTURE | OUTPUT | METADATA | OWN, self._now)
            return
        number = struct.unpack_from("=I", query)[0]
        if request == ENUM_FMT and number < 2:
            query[44:48] = (b"YUYV", b"MJPG")[number]
        elif request == ENUM_FRAMESIZES and query[4:8] == b"YUYV" and number < 2:
            struct.pack_into("=III", query, 8, 1, *((640, 480), (1280, 720))[number])
        elif request == ENUM_FRAMESIZES and query[4:8] == b"MJPG":
            struct.pack_into("=7I", query, 8, 3, 16, 1920, 2, 32, 1080, 2)
        else:
            raise OSError(errno.EINVAL, "Invalid argument")


def test_cameras_are_listed_with_what_they_give(tmp_path: Path) -> None:
    for number in (10, 0, 1, 2):
        (tmp_path / f"video{number}").touch()
    found = list_cameras(folder=tmp_path, ask=Driver(CAPTURE, METADATA, OUTPUT, 0))
    assert found == [
        Camera(f"{tmp_path}/video0", "Camera one", ("YUYV 640x480 1280x720", "MJPG 16x32 to 1920x1080")),
        Camera(f"{tmp_path}/video2", "Camera one", (), takes_pictures=True),
        Camera(f"{tmp_path}/video10", "does not answer (Input/output error)", ()),
    ]


def test_no_camera_is_told_plainly(tmp_path: Path) -> None:
    assert list_cameras(folder=tmp_path, ask=Driver()) == []
    lines = describe_devices([], {})
    assert lines[0] == "no camera: this machine has no /dev/video* to read from"
    assert any("DISPLAY is not set" in line for line in lines) and any("v4l2loopback" in line for line in lines)


def test_the_list_has_the_names_that_the_options_take() -> None:
    cameras = [Camera("/dev/video1", "One", ("YUYV 640x480",)), Camera("/dev/video7", "Two", (), takes_pictures=True)]
    text = "\n".join(describe_devices(cameras, {"DISPLAY": ":0"}))
    for part in ("webcam:1, /dev/video1: One", "YUYV 640x480", "virtualcam:/dev/video7: Two", "screen: is display :0"):
        assert part in text
