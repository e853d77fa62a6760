"""Chunks on a worker of Ray: its files are fetched, its engines opened, both once a process, and they are made."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tpc_stream.cluster.depot import Depot
from tpc_stream.cluster.luggage import places
from tpc_stream.errors import InputError, SinkError, TpcStreamError
from tpc_stream.job.alone import make_alone
from tpc_stream.job.events import FramesMade
from tpc_stream.job.fingerprint import differences, input_hashes, versions
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.segment_maker import SegmentMaker
from tpc_stream.job.spec import JobSpec
from tpc_stream.job.spec_file import spec_from_json
from tpc_stream.recording.machine import cpu_name

TELL_SECONDS = 0.5
"""So often a chunk's frames are told of, at most: each time is a message through the cluster."""


class Workshop:
    """All that a process needs for the chunks of one job."""

    def __init__(self, job: dict[str, Any]) -> None:
        with ExitStack() as opened:
            self.depot: Depot | None = None
            spec = spec_from_json(job["manifest"], path=Path("the job"))
            found: dict[str, str] = job["places"]
            if job["files"] is not None:
                import ray

                self.depot = Depot(job["key"])
                opened.callback(self.depot.close)
                folder = self.depot.fill(job["files"], ray.get)
                found = places([file["name"] for file in job["files"]], folder)
            self.spec = _with(spec, found)
            _check(self.spec)
            self.maker = opened.enter_context(SegmentMaker(self.spec, threads=job["threads"]))
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()


_open: dict[str, Workshop] = {}
"""This process's, by the job's key: Ray gives one process chunk after chunk."""


def make_chunks(job: dict[str, Any], numbers: list[int]) -> Iterator[tuple[Any, ...]]:
    """What `entry.enter` promises. What this package raises is a result; anything else ends the task."""
    try:
        workshop = _workshop(job)
        for k, number in enumerate(numbers, start=1):
            yield from _made_there(job, workshop, number, onward=len(numbers) - k)
    except TpcStreamError as error:
        yield ("failed", type(error).__name__, f"on the node {socket.gethostname()}: {error}")


def _made_there(job: dict[str, Any], workshop: Workshop, number: int, *, onward: int) -> Iterator[tuple[Any, ...]]:
    with _segment_folder(job, workshop) as path:
        folder, told = JobFolder(path), time.monotonic()
        for event in make_alone(folder, workshop.maker, [workshop.spec.chunks[number]], onward=onward):
            if isinstance(event, FramesMade) and time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                yield ("frames", event.frames)
        record = folder.record(number)
        if record is None:
            raise InputError(f"{folder.path} has lost the record of chunk {number}: is somebody cleaning up there?")
        segment: bytes | str | None = None
        if job["folder"] is None:
            segment = folder.segment(number).read_bytes() if workshop.depot else str(folder.segment(number))
        yield ("segment", asdict(record), segment, cpu_name())


def _workshop(job: dict[str, Any]) -> Workshop:
    key = job["key"]
    if key not in _open:
        while _open:
            _open.popitem()[1].close()
        _open[key] = Workshop(job)
    return _open[key]


@contextmanager
def _segment_folder(job: dict[str, Any], workshop: Workshop) -> Iterator[Path]:
    """Where the segment is made: in the job's own folder, or in one of its own for this attempt."""
    if job["folder"] is not None:
        yield Path(job["folder"])
    elif workshop.depot is not None:
        with workshop.depot.room() as room:
            yield _made(room / job["name"])
    else:
        yield _made(_attempt(Path(job["box"])) / job["name"])  # the job's process takes it from there, and cleans up


def _attempt(box: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(dir=box, prefix="attempt_"))
    except OSError as error:
        raise SinkError(f"cannot write in the shared folder {box}: {error.strerror}; give another --store") from error


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _with(spec: JobSpec, found: dict[str, str]) -> JobSpec:
    """The job with the paths of this node."""
    options = replace(
        spec.options,
        bundle=found["bundle"],
        sam=found.get("sam"),
        reference_mask=found.get("reference_mask"),
        pose_video=found.get("pose_video"),
    )
    return replace(spec, motion=found["motion"], reference=found["reference"], options=options)


def _check(spec: JobSpec) -> None:
    """Raises InputError unless this node sees the inputs that the job was begun with, and has its packages."""
    now = input_hashes(spec.reference, spec.motion, spec.options) | versions()
    changed = differences({name: spec.fingerprint.get(name) for name in now}, now)
    if changed:
        raise InputError(f"the job's and this node's are not the same: {'; '.join(changed)}; make them so and resume")
