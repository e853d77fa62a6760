"""Watching the output: a window of our own making, text in a terminal, and places where neither can be."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import pytest

from tests.animated import animated_frames
from tests.fake_clock import FakeClock
from tpc_stream.errors import SinkError
from tpc_stream.writing.preview import (
    TERMINAL_ROWS,
    check_preview,
    picture_text,
    preview_terminal,
    preview_window,
)


class Gui:
    """OpenCV's windows, in memory."""

    WINDOW_NORMAL = WINDOW_KEEPRATIO = WND_PROP_VISIBLE = 1

    def __init__(self, *, key_at: int = -1, closed_at: int = -1) -> None:
        self.shown: list[np.ndarray] = []
        self.destroyed = False
        self._key_at, self._closed_at = key_at, closed_at

    def imshow(self, name: str, image: np.ndarray) -> None:
        self.shown.append(image)

    def waitKey(self, milliseconds: int) -> int:
        return ord("q") if len(self.shown) == self._key_at else -1

    def getWindowProperty(self, name: str, what: int) -> float:
        return 0.0 if len(self.shown) == self._closed_at else 1.0

    def destroyAllWindows(self) -> None:
        self.destroyed = True

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_a_window_shows_every_frame_in_its_colours() -> None:
    gui = Gui()
    frames = list(preview_window(animated_frames(4), gui=gui))
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert all(np.array_equal(a.image[..., ::-1], b) for a, b in zip(frames, gui.shown, strict=True))
    assert gui.destroyed


@pytest.mark.parametrize("how", [{"key_at": 3}, {"closed_at": 3}])
def test_q_and_closing_the_window_end_the_frames(how: dict[str, int]) -> None:
    gui = Gui(**how)
    assert len(list(preview_window(animated_frames(1000), gui=gui))) == 3
    assert gui.destroyed


def test_no_display_and_no_windows_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(SinkError, match="no display"):
        check_preview("window", environment={})
    check_preview("window", environment={"DISPLAY": ":0"})
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(SinkError, match="without windows"):
        check_preview("window", environment={"DISPLAY": ":0"})
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with pytest.raises(SinkError, match="needs a terminal"):
        check_preview("terminal")


def test_a_picture_as_text_keeps_its_shape_and_colours() -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[:32], image[32:] = (250, 10, 20), (1, 2, 240)
    text = picture_text(image, columns=40)
    lines = text.splitlines()
    assert len(lines) == 10 and all(line.count("▀") == 40 for line in lines)
    assert "38;2;250;10;20" in lines[0] and "48;2;1;2;240" in lines[-1]
    assert text.count("\n") <= TERMINAL_ROWS
    tall = picture_text(np.zeros((500, 20, 3), np.uint8), columns=80)
    assert tall.count("\n") == TERMINAL_ROWS


def test_a_terminal_is_drawn_ten_times_a_second_and_left_tidy() -> None:
    clock, written = FakeClock(), []

    def ticking() -> Any:
        for frame in animated_frames(60):
            yield frame
            clock.advance(1 / 60)

    frames = preview_terminal(ticking(), write=written.append, columns=20, clock=clock)
    assert len(list(frames)) == 60
    drawn = [text for text in written if "▀" in text]
    assert 8 <= len(drawn) <= 11
    assert drawn[0].startswith("\x1b[?25l") and written[-1] == "\x1b[?25h"
    assert all(text.startswith(f"\x1b[{drawn[0].count(chr(10))}F") for text in drawn[1:])
    early = preview_terminal(animated_frames(5), write=(said := []).append)
    next(early)
    early.close()
    assert said[-1] == "\x1b[?25h"
