"""Names of sources: what each means, and one line for those that mean nothing."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tpc_stream.errors import InputError, SourceError
from tpc_stream.reading.inputs import kind_of, may_be_live
from tpc_stream.reading.pipe import PipeFormat, pipe_format
from tpc_stream.reading.screen import screen_options, screen_part
from tpc_stream.reading.source_info import SourceOptions
from tpc_stream.source import probe

PLAIN = SourceOptions()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp4", "file"), ("frames/%05d.png", "file"), ("take:1.mp4", "file"), ("webcam", "camera"),
        ("webcam:1", "camera"), ("/dev/video0", "camera"), ("rtsp://host/x", "url"), ("https://host/a.mp4", "url"),
        ("screen:", "screen"), ("screen:640x480+1+2", "screen"), ("-", "pipe"), ("pipe:", "pipe"),
        ("pipe:640x480", "pipe"), ("webcamera.mp4", "file"),
    ],
)  # fmt: skip
def test_a_name_says_what_it_is(name: str, kind: str) -> None:
    assert kind_of(name) == kind
    assert may_be_live(name) == (kind != "file")


def test_parts_of_the_screen() -> None:
    here = {"DISPLAY": ":1"}
    whole = screen_part("screen:", PLAIN, environment=here)
    assert (whole.device, whole.size) == (":1+0,0", None)
    part = screen_part("screen:640x480+100+50@:7.1", PLAIN, environment=here)
    assert (part.device, part.size) == (":7.1+100,50", (640, 480))
    options = SourceOptions(camera_size=(320, 240), camera_rate=Fraction(15))
    asked = screen_options(screen_part("screen:", options, environment=here), options)
    assert (asked["video_size"], asked["framerate"]) == ("320x240", "15")
    for bad in ("screen:640", "screen:0x480", "screen:640x480+5", "screen:left"):
        with pytest.raises(InputError, match="screen"):
            screen_part(bad, PLAIN, environment=here)
    with pytest.raises(SourceError, match="no X11 display"):
        screen_part("screen:", PLAIN, environment={})
    with pytest.raises(SourceError, match="Wayland"):
        screen_part("screen:", PLAIN, environment={"WAYLAND_DISPLAY": "wayland-0"})


def test_a_display_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SourceError, match="screen:@:97 cannot be read"):
        probe("screen:@:97")


def test_raw_pictures_say_their_format() -> None:
    assert pipe_format("-", PLAIN) == PipeFormat(None, {"framerate": "25"})
    raw = pipe_format("pipe:bgr24:64x48@30000/1001", PLAIN)
    assert raw == PipeFormat("rawvideo", {"pixel_format": "bgr24", "video_size": "64x48", "framerate": "30000/1001"})
    assert pipe_format("pipe:64x48", PLAIN).options["pixel_format"] == "rgb24"
    for bad in ("pipe:64", "pipe:0x48", "pipe:64x48@0", "pipe:cmyk:64x48", "pipe:64x48@fast"):
        with pytest.raises(InputError, match=bad.split(":")[-1]):
            pipe_format(bad, PLAIN)


def test_options_of_a_source_are_checked() -> None:
    for bad in (
        {"stall_seconds": 0}, {"retry_seconds": -1}, {"reconnect_seconds": -1}, {"reconnect_seconds": float("inf")},
        {"camera_size": (0, 480)}, {"camera_rate": 0},
    ):  # fmt: skip
        with pytest.raises(InputError):
            SourceOptions(**bad)
