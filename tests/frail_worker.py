"""A worker process without engines, which dies when it is told to; it imports little, so that it begins soon."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

from tpc_stream.job.events import ChunkFinished
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.messages import Failed, Ready

SEEN = f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ.get('CUDA_DEVICE_ORDER')}"
"""When this file was imported."""


def noting_work(connection: Connection, folder: Path, threads: int) -> None:
    """A worker that notes which GPU it saw when it was imported, and makes text files once there are two of them."""
    (folder / f"seen_{os.getpid()}").write_text(SEEN)
    until = time.monotonic() + 20
    while len(list(folder.glob("seen_*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    (folder / "deaths").write_text("0")
    frail_work(connection, folder, threads)


def frail_work(connection: Connection, folder: Path, threads: int) -> None:
    """A worker that dies over chunk 1, as often as the file `deaths` in the folder says, and else makes text files."""
    job = JobFolder(folder)
    connection.send(Ready())
    while (order := connection.recv()) is not None:
        chunk = order.chunk
        deaths = folder / "deaths"
        left = int(deaths.read_text())
        if chunk.number == 1 and left > 0:
            deaths.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        poison = folder / "poison"
        if poison.exists() and int(poison.read_text()) in range(chunk.number, chunk.number + min(order.onward, 1) + 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if chunk.number == 1 and left < 0:
            connection.send(Failed("the disk is full", "SinkError"))
            return
        job.part(chunk.number).write_text(f"chunk {chunk.number}")
        job.finish(chunk.number, frames=len(chunk.frames), seconds=0.1, finished=time.time())
        connection.send(ChunkFinished(chunk.number, len(chunk.frames), 0.1))
        connection.send(Ready())
