"""Watching the output while it is made: in a window, or in a terminal that knows colours."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.writing.destination import PreviewKind

WINDOW = "tpc-stream"
END_KEYS = (ord("q"), 27)
"""q and Escape."""
TERMINAL_ROWS = 24
"""Lines of text that a picture takes at most; each shows two rows of pixels."""
TERMINAL_SECONDS = 0.1
"""From one picture in the terminal to the next: a frame of text is 30 kB."""


def check_preview(kind: PreviewKind, *, environment: Mapping[str, str] = os.environ) -> None:
    """Raises SinkError where no preview of this kind can be shown here, and says why."""
    if kind == "terminal":
        if not sys.stderr.isatty():
            raise SinkError("--preview terminal needs a terminal on stderr: leave it out, or do not redirect stderr")
        return
    found = [line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")]
    if not found or found[0].split(":")[1].strip() in ("", "NONE"):
        raise SinkError("this OpenCV was built without windows: install opencv-contrib-python, or --preview terminal")
    if sys.platform.startswith("linux") and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        raise SinkError("there is no display to open a window on (DISPLAY is not set): try --preview terminal")


def preview_window(frames: Iterable[AnimatedFrame], *, gui: Any = cv2) -> Iterator[AnimatedFrame]:
    """A stage that shows every frame in a window and passes it on; q, Escape or closing the window ends the frames.

    Runs in the main thread, as windows must. gui: what has OpenCV's imshow, waitKey and the like.
    """
    try:
        gui.namedWindow(WINDOW, gui.WINDOW_NORMAL | gui.WINDOW_KEEPRATIO)
        for number, frame in enumerate(frames):
            if not number:
                height, width = frame.image.shape[:2]
                enlarged = max(1, 512 // max(width, height))
                gui.resizeWindow(WINDOW, width * enlarged, height * enlarged)
            gui.imshow(WINDOW, np.ascontiguousarray(frame.image[..., ::-1]))
            key = gui.waitKey(1) & 0xFF
            yield frame
            if key in END_KEYS or gui.getWindowProperty(WINDOW, gui.WND_PROP_VISIBLE) < 1:
                return
    finally:
        gui.destroyAllWindows()


def preview_terminal(
    frames: Iterable[AnimatedFrame],
    *,
    write: Callable[[str], object],
    columns: int = 80,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[AnimatedFrame, None, None]:
    """A stage that draws about ten frames a second as coloured text, each over the one before, and passes them on."""
    drawn: float | None = None
    lines = 0
    try:
        for frame in frames:
            now = clock()
            if drawn is None or now - drawn >= TERMINAL_SECONDS:
                text = picture_text(frame.image, columns=columns)
                write((f"\x1b[{lines}F" if lines else "\x1b[?25l") + text)
                lines = text.count("\n")
                drawn = now
            yield frame
    finally:
        if lines:
            write("\x1b[?25h")  # the cursor again


def picture_text(image: NDArray[np.uint8], *, columns: int, rows: int = TERMINAL_ROWS) -> str:
    """HWC RGB uint8 as lines of half blocks in 24-bit colour, at most `columns` wide and `rows` high."""
    height, width = image.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    wide, high = max(1, round(width * scale)), max(2, round(height * scale / 2) * 2)
    small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA)
    text = []
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(upper, lower, strict=True)
        )
        text.append("".join(cells) + "\x1b[0m\n")
    return "".join(text)
