"""RTMP and RTSP in a process of their own: FFmpeg connects and sends there, and nothing here can be held up by it.

PyAV opens these protocols with the interpreter's lock held and writes without any limit, so that a server that stops
to answer would stop the whole program. The sender takes the coded stream from a pipe; a pipe's wait has a limit, and a
process can be ended.

    python -m tpc_stream.writing.sender URL FORMAT < stream.flv
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

INNER_FORMAT = "flv"
"""What goes through the pipe: its packets need no look ahead, and it holds h264 and AAC, as RTMP and RTSP do."""
PIECE_BYTES = 4096
"""Written at once where the pipe has room: no more than what a pipe takes whole."""


class Sender:
    """The sender's pipe, as a file that a muxer writes FLV to."""

    def __init__(self, url: str, *, format: str, timeout_seconds: float) -> None:
        """format: FFmpeg's name of the muxer for `url`."""
        self.name = url
        self._limit = timeout_seconds
        command = [sys.executable, "-m", "tpc_stream.writing.sender", url, format]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
        )

    def write(self, data: bytes) -> int:
        """All of it. Raises OSError, in the sender's words, where the receiver is not there, has gone or is stuck."""
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            raise BrokenPipeError("the stream is closed")
        view = memoryview(data)
        until = time.monotonic() + self._limit
        while view:
            _, ready, _ = select.select([], [pipe], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"nothing was taken for {self._limit:g} s")
            try:
                view = view[os.write(pipe.fileno(), view[:PIECE_BYTES]) :]
            except BrokenPipeError as error:
                raise BrokenPipeError(self._last_words()) from error
            until = time.monotonic() + self._limit
        return len(data)

    def finish(self) -> None:
        """End the stream, and wait until all is sent. Raises OSError where it could not be."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            failed = self._process.wait(self._limit)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the end of the stream was not taken within {self._limit:g} s") from error
        if failed:
            raise BrokenPipeError(self._last_words())

    def close(self) -> None:
        """Let go of it, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was not written cannot be any more
                    pipe.close()

    def _last_words(self) -> str:
        try:
            self._process.wait(self._limit)
        except subprocess.TimeoutExpired:
            return "the connection ended"
        lines = self._process.stderr.read().decode("utf-8", "replace").split("\n") if self._process.stderr else []
        said = [line for line in lines if line.strip()]
        return said[-1].strip() if said else "the connection ended"


def main(url: str, format: str) -> int:
    """The process: copies the packets that come on stdin. 1 and a line on stderr where the receiver takes no more."""
    import av

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the program before us, which then ends our pipe
    options = {"rtsp_transport": "tcp"} if format == "rtsp" else {"flvflags": "no_duration_filesize"}
    try:
        with (
            open(0, "rb", buffering=0) as pipe,
            av.open(pipe, "r", format=INNER_FORMAT, options={"fpsprobesize": "0"}) as source,
            av.open(url, "w", format=format, container_options=options) as target,
        ):
            streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream_index]
                    target.mux_one(packet)
    except (av.FFmpegError, OSError) as error:
        print(error.strerror or error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
