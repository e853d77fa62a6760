"""Live sources over real connections: opened once, lost and found again, and never waited for too long."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fake_clock import time_limit
from tests.live_streams import DATAGRAM, SIZE, broadcasting, free_port, send_frames, wait_until
from tests.media import read_bars
from tpc_stream.errors import InputError, SourceError
from tpc_stream.frame import Frame
from tpc_stream.motion import Motion, open_motion
from tpc_stream.reading.source_info import SourceOptions

OFF_SECONDS = 0.5  # well above what is allowed between two clocks below
QUICK = SourceOptions(open_timeout_seconds=5, stall_seconds=0.4, retry_seconds=0.05, reconnect_seconds=20)
_opened: list[Motion] = []


def opened(url: str, *, options: SourceOptions = QUICK, **choices: Any) -> Motion:
    """The motion, open until the test ends, however that ends."""
    motion = open_motion(url, options=options, **choices)
    _opened.append(motion)
    return motion


@pytest.fixture(autouse=True)
def hard_limit() -> Iterator[None]:
    """Every test here ends within 60 s, and leaves no thread behind."""
    before = set(threading.enumerate())
    with time_limit(60):
        yield
        while _opened:
            _opened.pop().close()
        wait_until(lambda: set(threading.enumerate()) <= before)


def ended(motion: Motion) -> float:
    """Stops and closes the motion; how long that took."""
    began = time.monotonic()
    motion.stop()
    motion.close()
    return time.monotonic() - began


def take(frames: Iterator[Frame], count: int) -> list[Frame]:
    return list(itertools.islice(frames, count))


def caught_up(frames: Iterator[Frame]) -> list[Frame]:
    """What arrived while the stream was opened is read in one go; the frames until one has to be waited for."""
    passed = take(frames, 2)
    while passed[-1].captured_seconds - passed[-2].captured_seconds < 0.5 / 30:
        passed += take(frames, 1)
    return passed


@pytest.mark.parametrize("http", [False, True])
def test_a_stream_is_opened_once_and_found_again(http: bool) -> None:
    with broadcasting(http=http) as server:
        motion = opened(server.url)
        info = motion.info
        assert (info.live, info.waits, info.width, info.height, info.rate) == (True, False, *SIZE, 30)
        assert server.connections == 1
        frames = iter(motion)
        every = caught_up(frames) + take(frames, 5)
        server.off()
        assert motion.report.reconnects == 0
        time.sleep(OFF_SECONDS)
        server.on()
        returned = time.perf_counter()
        while every[-1].captured_seconds < returned:
            every += take(frames, 1)
        assert time.perf_counter() - returned < 2
        assert motion.report.reconnects == 1
        first = len(every) - 1
        every += take(frames, 10)
        assert server.connections == 2
        assert [frame.index for frame in every] == list(range(len(every)))
        assert all(b.pts_seconds > a.pts_seconds for a, b in pairwise(every))
        assert all(b.captured_seconds >= a.captured_seconds for a, b in pairwise(every))
        # the gap in the times is the gap on the wall
        last_before, first_after = every[first - 1 : first + 1]
        wall = first_after.captured_seconds - last_before.captured_seconds
        assert wall > OFF_SECONDS / 2
        assert float(first_after.pts_seconds - last_before.pts_seconds) == pytest.approx(wall, abs=0.3)
        shown = [read_bars(frame.image) for frame in every]
        assert shown == sorted(shown)
        assert ended(motion) < 2
        assert motion.report.offline_seconds > OFF_SECONDS / 2


def test_datagrams_are_read() -> None:
    port, stop = free_port(socket.SOCK_DGRAM), threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(data: bytes) -> None:
            for start in range(0, len(data), DATAGRAM):
                sender.sendto(data[start : start + DATAGRAM], ("127.0.0.1", port))

        thread = threading.Thread(
            target=send_frames, args=(send,), kwargs={"numbers": itertools.count(), "rate": 60, "stop": stop}
        )
        thread.start()
        try:
            motion = opened(f"udp://127.0.0.1:{port}")
            shown = [read_bars(frame.image) for frame in take(iter(motion), 10)]
            assert len(shown) == 10 and shown == sorted(shown)
            assert ended(motion) < 2
        finally:
            stop.set()
            thread.join()


def test_what_the_run_was_not_ready_for_counts_nowhere() -> None:
    with broadcasting(rate=60) as server:
        motion = opened(server.url)
        time.sleep(0.3)  # the reference is prepared meanwhile; about 18 frames pass
        first = next(iter(motion))
        assert first.index == 0 and first.pts_seconds == 0
        assert read_bars(first.image) > 10
        assert time.perf_counter() - first.captured_seconds < 1
        ended(motion)
        assert motion.report.captured < 10


def test_every_dropped_frame_is_known() -> None:
    with broadcasting(rate=60) as server:
        motion = opened(server.url)
        shown: list[int] = []
        for frame in motion:
            time.sleep(0.05)
            shown.append(read_bars(frame.image))
            if len(shown) == 20:
                break
        ended(motion)
        report = motion.report
        assert report.policy == "latest" and len(report.dropped) > 10
        kept = list(itertools.islice(report.kept_indices(), len(shown)))
        assert [number - shown[0] for number in shown] == [index - kept[0] for index in kept]


def test_a_stream_that_falls_silent_is_opened_anew() -> None:
    with broadcasting() as server:
        motion = opened(server.url)
        frames = iter(motion)
        take(frames, 3)
        server.mute()
        wait_until(lambda: server.connections == 2)
        server.unmute()
        wait_until(lambda: motion.report.reconnects == 1 or not take(frames, 1))
        assert ended(motion) < 2


def test_a_source_that_is_gone_for_good_ends_the_frames() -> None:
    options = SourceOptions(stall_seconds=0.3, retry_seconds=0.05, reconnect_seconds=0.3)
    with broadcasting() as server:
        motion = opened(server.url, options=options)
        frames = iter(motion)
        take(frames, 3)
        server.off()
        rest = list(frames)
        assert len(rest) < 30
        assert "was gone for 0.3 s" in motion.report.interrupted
        motion.close()


def test_stopping_does_not_wait_for_a_source_that_is_away() -> None:
    with broadcasting() as server:
        motion = opened(server.url)
        take(iter(motion), 2)
        server.off()
        time.sleep(0.1)
        assert ended(motion) < 2


def test_nobody_there_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"tcp://127\.0\.0\.1:\d+ cannot be read") as caught:
        open_motion(f"tcp://127.0.0.1:{free_port()}", options=QUICK)
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="no camera at /dev/video99"):
        open_motion("webcam:99")


def test_what_a_live_source_cannot_do_is_refused() -> None:
    with broadcasting() as server:
        for choice, words in (({"realtime": True}, "--realtime"), ({"start_seconds": 1}, "--start")):
            with pytest.raises(InputError, match=f"{words} is for files"):
                opened(server.url, **choice)


def test_size_and_clock_may_change_in_mid_stream() -> None:
    with broadcasting() as server:
        motion = opened(server.url)
        frames = iter(motion)
        first = take(frames, 3)
        server.off()
        server.size = (128, 96)
        server.restart_numbers = True
        server.on()
        more = take(frames, 1)
        while more[-1].image.shape != (96, 128, 3):
            more += take(frames, 1)
        every = first + more
        assert all(b.pts_seconds > a.pts_seconds for a, b in pairwise(every))
        assert read_bars(every[-1].image) < 60
        ended(motion)
        assert motion.report.format_changes == 1
        assert any("from 96x64 yuv420p to 128x96" in text for text in motion.report.warnings)


def test_the_end_and_the_number_of_frames_hold_for_what_is_kept() -> None:
    with broadcasting() as server:
        motion = opened(server.url, max_frames=4)
        assert motion.info.frame_count_estimate == 4
        assert [frame.index for frame in motion] == [0, 1, 2, 3]
        ended(motion)
        motion = opened(server.url, end_seconds=0.5)
        time.sleep(0.2)  # what arrived while it was opened is read in one go, and counts nowhere
        times = [frame.pts_seconds for frame in motion]
        assert 5 < len(times) <= 16 and max(times) < 0.5
        ended(motion)


def test_a_damaged_stream_goes_on() -> None:
    with broadcasting(rate=60) as server:
        server.format, server.blank_every = "flv", 7
        motion = opened(server.url)
        got = take(iter(motion), 30)
        assert len(got) == 30
        ended(motion)
        assert motion.report.corrupt_packets >= 3 and motion.report.reconnects == 0


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera at /dev/video0")
def test_a_real_camera_gives_frames() -> None:
    motion = opened("webcam")
    frames = take(iter(motion), 5)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape[:2] == (motion.info.height, motion.info.width)
    assert ended(motion) < 2


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="no screen: DISPLAY is not set")
def test_a_real_screen_gives_frames() -> None:
    motion = opened("screen:64x48")
    assert [frame.image.shape for frame in take(iter(motion), 3)] == [(48, 64, 3)] * 3
    assert ended(motion) < 2
