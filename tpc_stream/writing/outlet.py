"""A network connection as a file that a muxer writes to: with a limit on every wait, and without holding Python's lock.

FFmpeg's own connections are made by PyAV with the interpreter's lock held: a peer that does not answer would stop the
whole program, the camera's thread included. RTMP and RTSP have no other way, and a process of their own: see sender.py.
"""

from __future__ import annotations

import socket
from urllib.parse import parse_qs, urlsplit

from tpc_stream.errors import SinkError

DATAGRAM_BYTES = 1316
"""Seven packets of a transport stream: the most that fits an Ethernet frame."""


class Outlet:
    """Bytes to a tcp:// or udp:// address. tcp://...?listen=1 waits for one reader instead of calling one."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Raises SinkError where the address cannot be read, or nobody is there in time."""
        host, port, query = address_of(url)
        self.name = url
        self._datagrams = url.lower().startswith("udp")
        try:
            if self._datagrams:
                self._socket = socket.socket(_family(host, port), socket.SOCK_DGRAM)
                self._socket.connect((host, port))
            elif query.get("listen", ["0"])[-1] not in ("0", ""):
                self._socket = _accepted(host, port, timeout_seconds)
            else:
                self._socket = socket.create_connection((host, port), timeout=timeout_seconds)
        except OSError as error:
            raise SinkError(f"nobody takes the stream at {url} ({_words(error)}): start the receiver first") from error
        self._socket.settimeout(timeout_seconds)

    def write(self, data: bytes) -> int:
        """All of it. Raises OSError where the peer has gone or takes nothing within the limit."""
        if not self._datagrams:
            self._socket.sendall(data)
            return len(data)
        for start in range(0, len(data), DATAGRAM_BYTES):
            try:
                self._socket.send(data[start : start + DATAGRAM_BYTES])
            except ConnectionRefusedError:  # datagrams are sent whether anybody listens or not
                pass
        return len(data)

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()


def address_of(url: str) -> tuple[str, int, dict[str, list[str]]]:
    """Host, port and query of the URL. Raises SinkError where host or port are missing."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SinkError(f"{url} is no address that can be read ({error})") from error
    if not host or port is None:
        raise SinkError(f"{url} lacks a host or a port: give one such as {parts.scheme}://127.0.0.1:5000")
    return host, port, parse_qs(parts.query)


def _family(host: str, port: int) -> socket.AddressFamily:
    return socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]


def _accepted(host: str, port: int, timeout_seconds: float) -> socket.socket:
    with socket.create_server((host, port)) as server:
        server.settimeout(timeout_seconds)
        return server.accept()[0]


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
