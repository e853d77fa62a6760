"""Frames over the network, read back by a receiver on this machine; receivers that are not there, or go."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.animated import animated_frame, animated_frames
from tests.fake_clock import time_limit
from tests.live_streams import Receiver, free_port, wait_until
from tests.media import bars, make_video, read_bars
from tests.with_gpu import skip_with_driver
from tpc_stream import hwaccel
from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.writing import hardware
from tpc_stream.writing.destination import destination_of
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.stream_output import StreamConfig, write_stream
from tpc_stream.writing.video_formats import Encoder

QUICK = StreamConfig(timeout_seconds=3, frame_rate=Fraction(30))


@pytest.fixture(autouse=True)
def hard_limit() -> Iterator[None]:
    """Every test here ends within 40 s, and leaves no thread behind."""
    before = set(threading.enumerate())
    with time_limit(40):
        yield
        wait_until(lambda: set(threading.enumerate()) <= before)


def barred(count: int, *, rate: int = 30) -> Iterator[AnimatedFrame]:
    return (animated_frame(k, Fraction(k, rate), image=bars(k)) for k in range(count))


def decoded(data: bytes) -> list[tuple[int, Fraction]]:
    with av.open(io.BytesIO(data), format="mpegts") as container:
        base = container.streams.video[0].time_base
        assert base is not None
        return [(read_bars(f.to_ndarray(format="rgb24")), f.pts * base) for f in container.decode(video=0)]


def test_tcp_carries_every_frame_at_its_time() -> None:
    receiver = Receiver()
    url = f"tcp://127.0.0.1:{receiver.port}"
    assert [frame.index for frame in write_stream(barred(40), url, config=QUICK)] == list(range(40))
    receiver.wait()
    shown = decoded(receiver.data)
    assert [number for number, _ in shown] == list(range(40))
    assert all(b - a == Fraction(1, 30) for (_, a), (_, b) in pairwise(shown))


def test_the_encoder_holds_no_frame_back() -> None:
    receiver = Receiver()
    frames = write_stream(barred(5), f"tcp://127.0.0.1:{receiver.port}", config=QUICK)
    next(frames)
    wait_until(lambda: len(receiver.data) > 0)
    size = len(receiver.data)
    next(frames)
    wait_until(lambda: len(receiver.data) > size)
    frames.close()
    receiver.wait()
    assert len(decoded(receiver.data)) == 2


def test_sound_goes_with_the_pictures(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=60, audio_tracks=1)
    receiver = Receiver()
    list(write_stream(barred(60), f"tcp://127.0.0.1:{receiver.port}", config=QUICK, sound=SoundSource(str(source))))
    receiver.wait()
    with av.open(io.BytesIO(receiver.data)) as container:
        assert container.streams.audio[0].codec_context.name.startswith("aac")
        packets = [p for p in container.demux(audio=0) if p.pts is not None]
        assert len(packets) > 80


def test_udp_goes_out_in_datagrams_and_to_nobody_as_well() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.setblocking(False)
        list(write_stream(barred(10), f"udp://127.0.0.1:{receiver.getsockname()[1]}", config=QUICK))
        data, receiver_empty = b"", False
        while not receiver_empty:
            try:
                datagram = receiver.recv(65536)
            except BlockingIOError:
                receiver_empty = True
            else:
                assert len(datagram) <= 1316
                data += datagram
        assert [number for number, _ in decoded(data)] == list(range(10))
    nobody = free_port(socket.SOCK_DGRAM)
    assert len(list(write_stream(barred(3), f"udp://127.0.0.1:{nobody}", config=QUICK))) == 3


def received(config: StreamConfig) -> bytes:
    receiver = Receiver()
    list(write_stream(barred(4), f"tcp://127.0.0.1:{receiver.port}", config=config))
    receiver.wait()
    return receiver.data


def test_without_a_driver_software_sends_and_it_is_told_as_for_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    skip_with_driver()
    hwaccel._tell.cache_clear()
    assert received(replace(QUICK, hwaccel="cuda")) == received(QUICK)
    list(write_video(barred(2), tmp_path / "a.mp4", config=SinkConfig(hwaccel="cuda")))
    ((level, words),) = [(r.levelname, r.message) for r in caplog.records if r.name == "tpc_stream.hwaccel"]
    assert level == "WARNING" and words.startswith("encoding h264 is not done by the GPU but in software: h264_nvenc")


def test_an_encoder_of_the_gpu_that_starts_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """libx265 stands in for NVENC: what is chosen is what sends, with its own name for the quality."""
    monkeypatch.setattr(hardware, "fault_of", lambda name, size, options: "")
    other = Encoder("libx265", 23, 51, options={"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"})
    monkeypatch.setattr(hardware, "LIVE_ENCODERS", {"h264": other})
    for wanted, codec in (("auto", "hevc"), ("none", "h264")):
        with av.open(io.BytesIO(received(replace(QUICK, hwaccel=wanted))), format="mpegts") as container:
            assert container.streams.video[0].codec_context.name == codec


READER = """
import sys, av
from tests.media import read_bars
url, options = sys.argv[1], dict(part.split("=") for part in sys.argv[2:])
print("listening", flush=True)
with av.open(url, "r", options=options, timeout=(30, 10)) as container:
    print(container.format.name, flush=True)
    try:
        for frame in container.decode(video=0):
            print(read_bars(frame.to_ndarray(format="rgb24")), flush=True)
    except av.FFmpegError:
        pass
"""


@pytest.mark.parametrize(
    ("scheme", "options", "container"),
    [("rtmp", "listen=1", "flv"), ("rtsp", "listen_timeout=30", "rtsp")],
)
def test_a_server_of_its_own_protocol_gets_the_frames(scheme: str, options: str, container: str) -> None:
    port = free_port()
    url = f"{scheme}://127.0.0.1:{port}/live/key"
    command = [sys.executable, "-c", READER, url, options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().strip() == "listening"
            _when_listening(port)
            assert len(list(write_stream(barred(30), url, config=QUICK))) == 30
            said = server.communicate(timeout=30)[0].split()
        finally:
            server.kill()
    assert said[0] == container
    numbers = list(map(int, said[1:]))
    assert numbers == sorted(numbers) and len(numbers) >= 20


def _when_listening(port: int) -> None:
    """Waits until somebody listens on the port, without calling there: such a server takes one caller."""
    wait_until(lambda: f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text())


def test_nobody_there_is_one_line() -> None:
    with pytest.raises(SinkError, match=r"nobody takes the stream at tcp://.*: start the receiver first"):
        list(write_stream(barred(2), f"tcp://127.0.0.1:{free_port()}", config=QUICK))
    with pytest.raises(SinkError, match=r"the stream to rtmp://.* \(Connection refused\)") as caught:
        list(write_stream(barred(2), f"rtmp://127.0.0.1:{free_port()}/live/x", config=QUICK))
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/x"
        began = time.monotonic()
        with pytest.raises(SinkError, match="not taken within 1 s"):
            list(write_stream(barred(3), url, config=StreamConfig(timeout_seconds=1)))
        assert time.monotonic() - began < 15


def test_a_receiver_that_hangs_up_ends_the_run_in_one_line() -> None:
    receiver = Receiver(hang_up_after=4000)
    sent = []
    with pytest.raises(SinkError, match=r"cannot send on the stream to tcp://.* after \d+ frames") as caught:
        for frame in write_stream(animated_frames(100_000), f"tcp://127.0.0.1:{receiver.port}", config=QUICK):
            sent.append(frame.index)
    assert 0 < len(sent) < 100_000
    assert "\n" not in str(caught.value)
    receiver.wait()


def test_an_error_upstream_is_the_one_that_is_told() -> None:
    receiver = Receiver()

    def broken() -> Iterator[AnimatedFrame]:
        yield from barred(3)
        raise ValueError("the camera burns")

    with pytest.raises(ValueError, match="burns"):
        list(write_stream(broken(), f"tcp://127.0.0.1:{receiver.port}", config=QUICK))
    receiver.wait()
    assert len(decoded(receiver.data)) == 3


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(SinkError, match="cannot stream to ftp://"):
        destination_of("ftp://host/x")
    for url in ("tcp://127.0.0.1", "udp://:5000"):
        with pytest.raises(SinkError, match="lacks a host or a port"):
            list(write_stream(barred(1), url, config=QUICK))
    with pytest.raises(SinkError, match="even width and height"):
        list(write_stream([animated_frame(0, Fraction(0), width=33)], "udp://127.0.0.1:9", config=QUICK))
    with pytest.raises(SinkError, match="no frame reached"):
        list(write_stream([], "udp://127.0.0.1:9", config=QUICK))
    with pytest.raises(SinkError, match="times must grow"):
        list(write_stream([animated_frame(k, Fraction(0)) for k in range(2)], "udp://127.0.0.1:9", config=QUICK))
    for bad in ({"crf": 99}, {"timeout_seconds": 0}, {"frame_rate": Fraction(0)}):
        with pytest.raises(InputError):
            StreamConfig(**bad)
