"""The output as a webcam that other programs can choose. Needs the optional pyvirtualcam and a loopback driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame

INSTALL = "pip install 'tpc-stream[virtualcam]'"
DRIVER = "on Linux: modprobe v4l2loopback; on Windows and macOS: install OBS"


def show_on_camera(
    frames: Iterable[AnimatedFrame], *, device: str | None = None, rate: float
) -> Iterator[AnimatedFrame]:
    """A stage that shows every frame on a virtual camera and passes it on; opened for the first frame's size.

    device: such as /dev/video2; None: the first that is free. rate: frames a second that the camera announces.
    Raises SinkError where the package or the driver is not there.
    """
    return _show(_module(), frames, device, rate)


def check_virtual_camera() -> None:
    """Raises SinkError unless the optional package is there."""
    _module()


def _module() -> Any:
    try:
        return import_module("pyvirtualcam")
    except ImportError as error:
        raise SinkError(f"a virtual camera needs the package pyvirtualcam: {INSTALL}") from error


def _show(module: Any, frames: Iterable[AnimatedFrame], device: str | None, rate: float) -> Iterator[AnimatedFrame]:
    camera: Any = None
    try:
        for frame in frames:
            if camera is None:
                height, width = frame.image.shape[:2]
                try:
                    camera = module.Camera(width=width, height=height, fps=rate, device=device)
                except (RuntimeError, OSError, ValueError) as error:
                    words = " ".join(str(error).split())
                    raise SinkError(f"no virtual camera can be opened ({words}): {DRIVER}") from error
            try:
                camera.send(frame.image)
            except (RuntimeError, OSError) as error:
                raise SinkError(f"the virtual camera has gone after {frame.index} frames ({error})") from error
            yield frame
    finally:
        if camera is not None:
            camera.close()
