"""Chunks as tasks of a Ray cluster: Ray decides where and when, this hands over, takes back and hands over again."""

from __future__ import annotations

import logging
import shutil
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from tpc_stream.cluster.depot import remove
from tpc_stream.cluster.entry import code_digest
from tpc_stream.cluster.luggage import as_objects, in_shared, shared_folder
from tpc_stream.cluster.ray_config import OBJECTS, ChunkNeeds, RayConfig
from tpc_stream.cluster.tasks import Lost, Segment, Tasks
from tpc_stream.errors import ClusterError, EngineError, SinkError
from tpc_stream.interrupt import uninterrupted, unmissable
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.events import ChunkFinished, ChunkRetried, Event
from tpc_stream.job.folder import ChunkRecord, JobFolder
from tpc_stream.job.messages import Failed
from tpc_stream.job.spec_file import spec_to_json
from tpc_stream.job.waiting import Waiting
from tpc_stream.job.worker import raise_failed
from tpc_stream.recording.machine import package_version

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
"""So often the nodes are counted: they come and go."""
_SWEEP_SECONDS = 10.0
"""So long the nodes have to remove what the job left on them."""
_VISIBLE_SECONDS = 10.0
"""A file that another machine wrote may be seen so much later over NFS."""


class RayCrew:
    """Makes chunks on a connected Ray, in the place of `make_together`.

    Args:
        ray: the package, connected.
    """

    def __init__(self, ray: Any, config: RayConfig, needs: ChunkNeeds) -> None:
        self._ray, self._config, self._needs = ray, config, needs
        self._roomless_since: float | None = None
        self._cpus = set[str]()

    def room(self) -> int:
        """How many chunks can be made at once now."""
        room = self._needs.room(self._ray.nodes())
        return room if self._config.workers is None else min(room, self._config.workers)

    def __call__(
        self,
        folder: JobFolder,
        chunks: Sequence[JobChunk],
        *,
        workers: int,
        threads: int,
        retries: int,
        devices: Sequence[str] = (),
    ) -> Iterator[Event]:
        """As `make_together`; workers, threads and devices are the cluster's affair."""
        waiting, tries = Waiting(chunks), Counter[int]()
        with self._job(folder) as job, Tasks(self._ray, self._needs, job) as tasks, unmissable() as check:
            limit, looked = self._limit(), time.monotonic()
            while waiting or len(tasks):
                check()
                if time.monotonic() - looked > _LOOK_SECONDS:
                    limit, looked = self._limit(), time.monotonic()
                while waiting and len(tasks) < limit:
                    tasks.submit(waiting.stretch(tasks=limit if self._roomless_since is None else len(chunks)))
                for chunk, answer in tasks.answers():
                    event = self._received(folder, chunk, answer) if isinstance(answer, Segment) else answer
                    if isinstance(event, Failed):
                        raise_failed(event, what=f"chunk {chunk.number}")
                    elif isinstance(event, Lost):
                        tries[chunk.number] += 1
                        _check_tries(chunk, tries[chunk.number], retries, event.reason)
                        waiting.back(chunk, apart=True)
                        for other in event.others:
                            waiting.back(other)
                        yield ChunkRetried(chunk.number, tries[chunk.number] + 1, event.reason)
                    else:
                        yield event

    def _limit(self) -> int:
        room, now = self.room(), time.monotonic()
        if not room:
            self._roomless_since = self._roomless_since or now
            if now - self._roomless_since > self._config.room_seconds or self._config.local:
                raise ClusterError(
                    f"no node of the cluster has room for a chunk ({self._needs}) since "
                    f"{now - self._roomless_since:.0f} s: add one, or ask for less with --threads"
                )
            return 1  # whoever adds nodes to a cluster by its load has to see some
        self._roomless_since = None
        return room if self._config.workers is not None else room + self._config.ahead

    def _received(self, folder: JobFolder, chunk: JobChunk, answer: Segment) -> ChunkFinished | Lost:
        """The segment lies in the job's folder, byte for byte as its worker wrote it; or the chunk is lost."""
        number, record, segment = chunk.number, ChunkRecord(**answer.record), answer.segment
        if segment is None:
            whole = folder.whole(number)
        else:
            if isinstance(segment, str) and not _visible(Path(segment), record.size_bytes):
                return Lost(f"its segment {segment} is not seen from here")
            folder.take(number, Path(segment) if isinstance(segment, str) else segment)
            ours = folder.finish(number, frames=record.frames, seconds=record.seconds, finished=time.time())
            whole = ours.sha256 == record.sha256
        if not whole:
            folder.forget(number)
            return Lost("its segment is not what its worker wrote (sha256)")
        if answer.cpu not in self._cpus and self._cpus:
            told = f"{answer.cpu} beside {', '.join(sorted(self._cpus))}"
            _log.warning("the nodes have different processors (%s): pictures may differ in their last bits", told)
        self._cpus.add(answer.cpu)
        return ChunkFinished(number, record.frames, record.seconds)

    @contextmanager
    def _job(self, folder: JobFolder) -> Iterator[dict[str, Any]]:
        """What each task is given, of classes that every version of this package has; files travel here."""
        spec, config = folder.read(), self._config
        manifest = spec_to_json(spec)
        job: dict[str, Any] = {
            "version": package_version("tpc-stream"),
            "code": code_digest(),
            "manifest": manifest,
            "key": uuid.uuid4().hex,
            "name": folder.path.name,
            "threads": self._needs.cpus,
            "files": None,
            "places": {},
            "folder": None,
            "box": None,
        }
        if config.store is None and config.local:
            here = Path("/")
            yield job | {"places": in_shared(spec, here, here), "folder": str(folder.path.absolute())}
        elif config.store in (None, OBJECTS):
            try:
                yield job | {"files": as_objects(spec, self._ray.put)}
            finally:
                self._sweep(job["key"])
        else:
            shared = shared_folder(config.store or "")
            # the same again after a kill, so that it is used again and removed in the end
            whose = f"{socket.gethostname()} {folder.path.absolute()} {manifest}"
            box = shared / f"tpc-stream-{sha256(whose.encode()).hexdigest()[:16]}"
            try:
                box.mkdir(exist_ok=True)
                yield job | {"places": in_shared(spec, shared, box), "box": str(box)}
            except PermissionError as error:
                raise SinkError(f"cannot write in the shared folder {shared}: {error.strerror}") from error
            finally:
                shutil.rmtree(box, ignore_errors=True)

    def _sweep(self, key: str) -> None:
        """What came to the nodes through the object store is removed there."""
        ray = self._ray
        with uninterrupted():
            nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
            task = ray.remote(num_cpus=0, max_retries=0)(remove)
            strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            sent = [task.options(scheduling_strategy=strategy(node, soft=False)).remote(key) for node in nodes]
            _, left = ray.wait(sent, num_returns=len(sent), timeout=_SWEEP_SECONDS)
        if left:
            _log.warning("%d nodes did not remove their copies of the job's files; their next job does", len(left))


def _check_tries(chunk: JobChunk, tries: int, retries: int, reason: str) -> None:
    if tries > retries:
        raise EngineError(
            f"chunk {chunk.number} could not be made, {tries} times: {reason}; the finished chunks are kept. Resume "
            "when the cause is gone"
        )


def _visible(path: Path, size_bytes: int) -> bool:
    until = time.monotonic() + _VISIBLE_SECONDS
    while not path.is_file() or path.stat().st_size != size_bytes:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
