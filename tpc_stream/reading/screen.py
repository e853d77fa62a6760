"""The screen as a source: screen: for all of it, screen:640x480+100+50 for a part, @DISPLAY for another display."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tpc_stream.errors import InputError, SourceError
from tpc_stream.reading.source_info import SourceOptions

SCREEN_FORMAT = "x11grab"
DEFAULT_RATE = 30
"""Frames a second; a screen has no rate of its own that X would tell."""

_NAME = re.compile(r"screen:(?:(?P<width>\d+)x(?P<height>\d+))?(?:\+(?P<x>\d+)\+(?P<y>\d+))?(?:@(?P<display>.+))?")


@dataclass(frozen=True, slots=True)
class ScreenPart:
    """Which part of which screen."""

    display: str
    """X11's name, such as :0 or :0.0."""
    size: tuple[int, int] | None
    """(width, height) in pixels; None: down to the screen's lower right corner."""
    left: int
    top: int

    @property
    def device(self) -> str:
        """As FFmpeg's x11grab takes it."""
        return f"{self.display}+{self.left},{self.top}"


def screen_part(name: str, options: SourceOptions, *, environment: Mapping[str, str] = os.environ) -> ScreenPart:
    """What a name that begins with screen: means.

    Raises InputError for a name that cannot be read, SourceError where there is no display.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(f"a screen is named screen:, screen:WxH, screen:WxH+X+Y or screen:...@DISPLAY, got {name!r}")
    display = match["display"] or environment.get("DISPLAY")
    if not display:
        wayland = " (Wayland shows its screen to no other program)" if environment.get("WAYLAND_DISPLAY") else ""
        raise SourceError(f"there is no X11 display{wayland}: start in a desktop session, or give screen:@:0")
    size = (int(match["width"]), int(match["height"])) if match["width"] else options.camera_size
    if size is not None and min(size) < 1:
        raise InputError(f"a part of the screen is at least 1x1 pixels, got {name!r}")
    return ScreenPart(display, size, int(match["x"] or 0), int(match["y"] or 0))


def screen_options(part: ScreenPart, options: SourceOptions) -> dict[str, str]:
    """What x11grab is asked for."""
    asked = {"framerate": str(options.camera_rate or DEFAULT_RATE), "draw_mouse": "0"}
    if part.size is not None:
        asked["video_size"] = f"{part.size[0]}x{part.size[1]}"
    return asked
