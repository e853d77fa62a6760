"""Raw frames to a pipe, at a constant rate; and a reader that goes."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.animated import animated_frame
from tests.media import bars, read_bars
from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.writing.raw_pipe import RawFormat, write_raw
from tpc_stream.writing.steady import DeliveryReport, SteadySlots

RATE = Fraction(25)


def piped(frames: Iterable[AnimatedFrame], report: DeliveryReport | None = None, format: RawFormat = "rgb24") -> bytes:
    reading, writing = os.pipe()
    data: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as file:
            data.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in write_raw(frames, writing, format=format, rate=RATE, report=report):
            pass
    finally:
        os.close(writing)
        thread.join()
    return data[0]


def at(*times: str) -> Iterator[AnimatedFrame]:
    return (animated_frame(k, Fraction(t), image=bars(k)) for k, t in enumerate(times))


def test_bare_pixels() -> None:
    rgb, bgr = (piped(at("0", "0.04", "0.08"), format=format) for format in ("rgb24", "bgr24"))
    frames = np.frombuffer(rgb, np.uint8).reshape(-1, 64, 96, 3)
    assert [read_bars(frame) for frame in frames] == [0, 1, 2]
    assert np.array_equal(frames, np.frombuffer(bgr, np.uint8).reshape(frames.shape)[..., ::-1])


def test_y4m_says_its_size_and_rate() -> None:
    data = piped(at("0", "0.04", "0.08"), format="y4m")
    with av.open(io.BytesIO(data), format="yuv4mpegpipe") as container:
        assert container.streams.video[0].average_rate == RATE
        assert [read_bars(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)] == [0, 1, 2]


def test_gaps_are_filled_and_what_finds_no_slot_is_left_out() -> None:
    report = DeliveryReport()
    data = piped(at("1", "1.04", "1.20", "1.21", "1.24"), report)
    frames = np.frombuffer(data, np.uint8).reshape(-1, 64, 96, 3)
    assert [read_bars(frame) for frame in frames] == [0, 1, 1, 1, 1, 2, 4]
    assert (report.repeats, report.repeated.ranges(), report.skipped.ranges()) == (3, [(1, 1)], [(3, 3)])


def test_ten_minutes_at_an_odd_rate_lose_and_gain_nothing() -> None:
    report = DeliveryReport()
    slots = SteadySlots(Fraction(30_000, 1001), report)
    for k in range(18_000):
        assert slots.place(k, k * Fraction(1001, 30_000)) == (0, True)
    assert report == DeliveryReport()


def test_a_reader_that_goes_is_one_line() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        with pytest.raises(SinkError, match="whoever reads the pipe has gone"):
            list(write_raw(at("0"), writing, rate=RATE))
    finally:
        signal.signal(signal.SIGPIPE, before)
        os.close(writing)
    with pytest.raises(SinkError, match="'jpeg'"):
        write_raw([], 1, format="jpeg", rate=RATE)  # type: ignore[arg-type]
