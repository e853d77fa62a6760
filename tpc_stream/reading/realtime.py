"""A file as a stand-in camera: its frames come when a camera would have captured them, asked for or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from tpc_stream.frame import Frame

SLICE_SECONDS = 0.05
"""Longest single sleep: how soon the wait for the next frame ends once nobody wants it."""


class RealtimeFrames:
    """The frames of a file at its own rate, from the moment that the first is asked for.

    A frame with pts p seconds is captured p seconds after the first, on a clock that never stands still: whoever asks
    late gets it at once, with the time at which it would have been captured, so that the lateness is in its latency.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._frames = frames
        self._clock, self._sleep = clock, sleep
        self._interrupted = False

    def __iter__(self) -> Iterator[Frame]:
        iterator = iter(self._frames)
        try:
            began: float | None = None
            for frame in iterator:  # decoded before it is due, as far as decoding keeps up
                pts = float(frame.pts_seconds)
                began = self._clock() - pts if began is None else began
                due = began + pts
                while (rest := due - self._clock()) > 0:
                    if self._interrupted:
                        return
                    self._sleep(min(rest, SLICE_SECONDS))
                yield replace(frame, captured_seconds=due)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def interrupt(self) -> None:
        """Ends the wait for a frame within SLICE_SECONDS."""
        self._interrupted = True
