"""Pictures from a pipe: what says itself what it is, raw pixels, and a writer that is slow, or goes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import cv2
import pytest

from tests.fake_clock import time_limit
from tests.live_streams import send_frames, wait_until
from tests.media import bars, read_bars
from tpc_stream.errors import InputError, SourceError
from tpc_stream.motion import open_motion

Feed = Callable[[Callable[[bytes], object]], object]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Feed], None]]:
    """Runs a function in a thread that writes to what the program takes for its standard input."""
    before = set(threading.enumerate())
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "__stdin__", os.fdopen(reading, "rb", closefd=False))

    def start(write: Feed) -> None:
        def run() -> None:
            try:
                write(lambda data: os.write(writing, data))
            except BrokenPipeError:
                pass
            finally:
                os.close(writing)

        threading.Thread(target=run).start()

    with time_limit(30):
        yield start
        os.close(reading)
        wait_until(lambda: set(threading.enumerate()) <= before)


def pictures(suffix: str) -> Feed:
    def write(send: Callable[[bytes], object]) -> None:
        for number in range(12):
            done, data = cv2.imencode(suffix, bars(number))
            assert done
            send(data.tobytes())

    return write


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pictures_one_after_the_other(feed: Callable[[Feed], None], suffix: str) -> None:
    feed(pictures(suffix))
    motion = open_motion("-")
    info = motion.info
    assert (info.kind, info.live, info.waits, info.width, info.height) == ("pipe", True, True, 96, 64)
    frames = [(frame.index, read_bars(frame.image), frame.pts_seconds) for frame in motion]
    assert frames == [(k, k, Fraction(k, 25)) for k in range(12)]
    motion.close()
    assert motion.report.policy == "none" and not len(motion.report.dropped)


def test_raw_pixels(feed: Callable[[Feed], None]) -> None:
    feed(lambda send: [send(bars(number).tobytes()) for number in range(20)])
    motion = open_motion("pipe:rgb24:96x64@10")
    frames = [(read_bars(frame.image), frame.pts_seconds) for frame in motion]
    assert frames == [(k, Fraction(k, 10)) for k in range(20)]
    motion.close()


def test_a_stream_with_times_of_its_own(feed: Callable[[Feed], None]) -> None:
    feed(lambda send: send_frames(send, numbers=iter(range(8)), rate=50, format="matroska"))
    motion = open_motion("pipe:")
    frames = [(read_bars(frame.image), frame.pts_seconds) for frame in motion]
    assert frames == [(k, Fraction(k, 50)) for k in range(8)]
    motion.close()


def test_a_writer_that_is_slow_is_waited_for_and_left_at_once(feed: Callable[[Feed], None]) -> None:
    go_on = threading.Event()

    def write(send: Callable[[bytes], object]) -> None:
        for number in range(6):
            send(bars(number).tobytes())
        go_on.wait(20)

    feed(write)
    motion = open_motion("pipe:96x64")
    frames = iter(motion)
    assert [read_bars(next(frames).image) for _ in range(4)] == [0, 1, 2, 3]
    began = time.monotonic()
    motion.stop()
    motion.close()
    assert time.monotonic() - began < 2
    go_on.set()


def test_nothing_and_nonsense_are_one_line(feed: Callable[[Feed], None]) -> None:
    feed(lambda send: send(b"no picture at all, but text, and quite some of it\n" * 100))
    with pytest.raises(SourceError, match="-"):
        open_motion("-")


def test_without_a_pipe_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdin__", None)
    with pytest.raises(InputError, match="no standard input"):
        open_motion("-")
    leader, follower = os.openpty()
    with open(follower, "rb", closefd=True) as terminal:
        monkeypatch.setattr(sys, "__stdin__", terminal)
        with pytest.raises(InputError, match="is a terminal"):
            open_motion("-")
    os.close(leader)
