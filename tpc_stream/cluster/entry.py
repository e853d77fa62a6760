"""What Ray carries to a worker as code: it is sent whole, since the worker may have another tpc-stream, or none.

Only the standard library is imported here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_seen: dict[str, str | None] = {}
"""In a worker: what it imported, whatever is installed since."""


def enter(job: dict[str, Any], numbers: list[int]) -> Iterator[tuple[Any, ...]]:
    """The task: makes chunks that follow one another. Of each in turn it yields ("frames", count), then
    ("segment", record, segment, cpu) or, as the last, ("failed", kind, text).

    job: as `ray_crew` packs it; nothing in it is of a class of this package.
    """
    if "digest" not in _seen:
        _seen["digest"] = code_digest()
    theirs = _seen["digest"]
    if theirs != job["code"]:
        what = "has no tpc-stream" if theirs is None else f"has another tpc-stream (code {theirs[:12]}"
        here = "" if theirs is None else f", the job's is {job['code'][:12]})"
        text = (
            f"the node {socket.gethostname()} {what}{here}: install the same version, {job['version']}, on all of them"
        )
        yield ("failed", "InputError", text)
        return
    try:
        from tpc_stream.cluster.chunk_task import make_chunks

        yield from make_chunks(job, numbers)
    except KeyboardInterrupt:  # cancelled, in the middle of an import perhaps: nobody may use this process again
        os._exit(1)


def code_digest() -> str | None:
    """sha256 over the source of the tpc_stream that would be imported; None where there is none."""
    spec = importlib.util.find_spec("tpc_stream")
    if spec is None or spec.origin is None:
        return None
    folder, digest = Path(spec.origin).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
