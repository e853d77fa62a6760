"""Real streams over 127.0.0.1: encoders that send while somebody reads, and the tests' patience with slow machines."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import av

from tests.media import bars

SIZE = (96, 64)
DATAGRAM = 1316  # seven packets of a transport stream


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Polls until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.005)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Receiver:
    """Listens on a port of TCP and keeps what comes, or hangs up after so many bytes."""

    def __init__(self, *, hang_up_after: int | None = None) -> None:
        self.data = b""
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(20)
        self.port = self._server.getsockname()[1]
        self._limit = hang_up_after
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._server:
            client, _ = self._server.accept()
            with client:
                while chunk := client.recv(65536):
                    self.data += chunk
                    if self._limit is not None and len(self.data) > self._limit:
                        return

    def wait(self) -> None:
        self._thread.join()


class _Outlet:
    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send

    def write(self, data: bytes) -> int:
        self._send(bytes(data))
        return len(data)


def send_frames(
    send: Callable[[bytes], object],
    *,
    numbers: Iterator[int],
    rate: int = 30,
    size: tuple[int, int] = SIZE,
    stop: threading.Event | None = None,
    format: str = "mpegts",
    gop: int = 5,
    blank_every: int = 0,
) -> None:
    """Encodes bars that tell their number, at the rate, until the numbers or the stop; times are number / rate."""
    with av.open(_Outlet(send), "w", format=format, options={"flush_packets": "1"}) as container:
        quick = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop)}
        stream = container.add_stream("libx264", rate=rate, options=quick)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        began = time.monotonic()
        for sent, number in enumerate(numbers):
            if stop is not None and stop.wait(max(0.0, began + sent / rate - time.monotonic())):
                return
            frame = av.VideoFrame.from_ndarray(bars(number, width=size[0], height=size[1]), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            for packet in stream.encode(frame):
                if blank_every and sent % blank_every == blank_every - 1:
                    empty = av.Packet(bytes(packet)[:5] + bytes(packet.size - 5))  # a slice of nothing
                    empty.stream, empty.pts, empty.dts = stream, packet.pts, packet.dts
                    empty.time_base = packet.time_base
                    packet = empty
                container.mux(packet)


class Broadcaster:
    """A live server for one reader after the other; it can be switched off and on at the same address."""

    def __init__(self, *, http: bool = False, rate: int = 30) -> None:
        self.port = free_port()
        self.rate = rate
        self.size = SIZE
        self.restart_numbers = False
        self.connections = 0
        self.format = "mpegts"
        self.blank_every = 0
        """So many-th packets arrive as zeros."""
        self._http = http
        self._number = 0
        self._off: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._silent = False

    @property
    def url(self) -> str:
        return f"{'http' if self._http else 'tcp'}://127.0.0.1:{self.port}"

    @property
    def number(self) -> int:
        """Of the picture that is sent next."""
        return self._number

    def on(self) -> None:
        server = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(server, self._off))
        self._thread.start()

    def off(self) -> None:
        """Closes every connection, and refuses new ones."""
        if self._off is not None and self._thread is not None:
            self._off.set()
            self._thread.join()

    def mute(self) -> None:
        """Sends nothing more, and leaves the connection open."""
        self._silent = True

    def unmute(self) -> None:
        """Sends again, whole frames from the next connection on."""
        self._silent = False

    def _serve(self, server: socket.socket, off: threading.Event) -> None:
        with server:
            server.settimeout(0.02)
            while not off.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                self.connections += 1
                with client:
                    client.settimeout(5)
                    self._talk(client, off)

    def _talk(self, client: socket.socket, off: threading.Event) -> None:
        if self._http:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        if self.restart_numbers:
            self._number = 0

        def send(data: bytes) -> None:
            if not self._silent:
                client.sendall(data)
            elif select.select([client], [], [], 0)[0]:  # nothing is written that could fail, so look for the end
                raise ConnectionResetError("the reader went away")

        try:
            send_frames(
                send,
                numbers=self._numbers(),
                rate=self.rate,
                size=self.size,
                stop=off,
                format=self.format,
                blank_every=self.blank_every,
            )
        except (OSError, av.FFmpegError):  # the reader went away
            return

    def _numbers(self) -> Iterator[int]:
        while True:
            yield self._number
            self._number += 1


@contextmanager
def broadcasting(*, http: bool = False, rate: int = 30) -> Iterator[Broadcaster]:
    """A server that is on."""
    server = Broadcaster(http=http, rate=rate)
    server.on()
    try:
        yield server
    finally:
        server.off()
