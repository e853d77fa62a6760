"""The output as a webcam: with a driver of our own, without the package, and without a driver."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.animated import animated_frames
from tpc_stream.errors import SinkError
from tpc_stream.writing.destination import camera_device, destination_of
from tpc_stream.writing.virtual_camera import check_virtual_camera, show_on_camera


class Driver:
    """What pyvirtualcam's Camera does."""

    opened: list[Driver] = []  # noqa: RUF012  # one list for the test to look at

    def __init__(self, *, width: int, height: int, fps: float, device: str | None) -> None:
        self.asked = (width, height, fps, device)
        self.shown: list[np.ndarray] = []
        self.closed = False
        Driver.opened.append(self)

    def send(self, image: np.ndarray) -> None:
        if len(self.shown) == 6:
            raise RuntimeError("unloaded")
        self.shown.append(image)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("pyvirtualcam")
    module.Camera = Driver
    Driver.opened.clear()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    return module


def test_frames_are_shown_and_pass(package: Any) -> None:
    check_virtual_camera()
    frames = list(show_on_camera(animated_frames(5), device="/dev/video9", rate=30.0))
    (camera,) = Driver.opened
    assert camera.asked == (64, 48, 30.0, "/dev/video9") and camera.closed
    assert all(np.array_equal(a.image, b) for a, b in zip(frames, camera.shown, strict=True))


def test_a_camera_that_goes_is_one_line(package: Any) -> None:
    with pytest.raises(SinkError, match="has gone after 6 frames"):
        list(show_on_camera(animated_frames(9), rate=30.0))
    assert Driver.opened[0].closed


def test_without_a_driver_or_the_package_there_is_one_line(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("no backend\nwas found")

    package.Camera = refuse
    with pytest.raises(SinkError, match=r"no backend was found.*v4l2loopback"):
        list(show_on_camera(animated_frames(2), rate=30.0))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"pip install 'tpc-stream\[virtualcam\]'"):
        check_virtual_camera()


def test_names_of_outputs() -> None:
    assert [destination_of(name) for name in (
        "a.mp4", "shots/", "shots/%05d.png", "rtmp://host/x", "UDP://h:1", "-", "virtualcam", "virtualcam:/dev/video2",
        "none", "none.mp4",
    )] == [
        "file", "pictures", "pictures", "stream", "stream", "pipe", "virtualcam", "virtualcam", "none", "file",
    ]  # fmt: skip
    assert (camera_device("virtualcam"), camera_device("virtualcam:/dev/video2")) == (None, "/dev/video2")
