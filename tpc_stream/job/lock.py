"""One process a job. The kernel holds the lock, so it goes with its process, however that ends: none is ever stale."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tpc_stream.errors import InputError, SinkError


@contextmanager
def locked(path: Path, *, workers: int) -> Iterator[bool]:
    """Holds the lock in the block; gives whether one was found that its process left behind.

    workers: is noted in it for `tpc-stream status`. Raises InputError where another process has it.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; check the folder's rights") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = holder(path) or {}
            raise InputError(
                f"process {owner.get('pid', 'unknown')} on {owner.get('host', 'this machine')} works on {path.parent}: "
                "wait for it or end it (tpc-stream status tells how far it is)"
            ) from None
        left_behind = os.fstat(handle).st_size > 0
        note = {"pid": os.getpid(), "host": socket.gethostname(), "workers": workers, "since": time.time()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(note).encode(), 0)
        yield left_behind
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(path: Path) -> dict[str, object] | None:
    """Who holds the lock: pid, host, workers, since. None where nobody does."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read()
                return dict(json.loads(text)) if text else {}
    except (OSError, ValueError):
        return None
    return None
