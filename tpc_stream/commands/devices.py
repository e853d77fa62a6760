"""`tpc-stream devices`: which cameras and screens there are to read from, and where a virtual camera could be."""

from __future__ import annotations

import os
from collections.abc import Mapping

import typer

from tpc_stream.commands.shell import Verbose, set_verbosity
from tpc_stream.reading.v4l2 import Camera, list_cameras


def devices(verbose: Verbose = 0) -> None:
    """List cameras, screens and virtual cameras, with the names that --motion and --out take."""
    if verbose:
        set_verbosity(verbose)
    for line in describe_devices(list_cameras(), os.environ):
        typer.echo(line)


def describe_devices(cameras: list[Camera], environment: Mapping[str, str]) -> list[str]:
    """Lines for people. What is not there is said."""
    sources = [camera for camera in cameras if not camera.takes_pictures]
    lines = ["cameras (--motion):"] if sources else ["no camera: this machine has no /dev/video* to read from"]
    for camera in sources:
        number = camera.path.removeprefix("/dev/video")
        also = f"webcam:{number}, " if number.isdecimal() else ""
        lines.append(f"  {also}{camera.path}: {camera.name}")
        lines += [f"    {text}" for text in camera.formats]
    display = environment.get("DISPLAY")
    lines.append(f"screen (--motion): screen: is display {display}" if display else "no screen: DISPLAY is not set")
    outputs = [camera for camera in cameras if camera.takes_pictures]
    if outputs:
        lines.append("virtual cameras (--out):")
        lines += [f"  virtualcam:{camera.path}: {camera.name}" for camera in outputs]
    else:
        lines.append("no virtual camera (--out virtualcam): on Linux, modprobe v4l2loopback makes one")
    return lines
