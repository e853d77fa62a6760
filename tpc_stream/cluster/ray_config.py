"""Where a job's chunks are made on Ray, and what each of them needs of a node."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError
from tpc_stream.job.devices import uses_gpu
from tpc_stream.job.spec import JobSpec

OBJECTS = "object"
"""The store that is Ray's own."""
_PROCESS_BYTES = 1 << 30
"""Of a worker beside the bundle's weights: Python, MediaPipe, frames in flight. With the default bundle it peaks
at 0.94 GiB (measured, side by side)."""
_COPIES = 2
"""Of the weights: the file's and the engine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConfig:
    """Which cluster, and how files reach it."""

    address: str
    """HOST:PORT of a head; auto: RAY_ADDRESS, or the cluster that runs on this machine; local: one of our own here."""
    store: str | None = None
    """How inputs and segments travel. object: Ray's object store; else a folder that all machines see under the same
    path. None: object, and for local nothing travels."""
    workers: int | None = None
    """Chunks that are made at the same time, at most; None: as many as the cluster has room for."""
    memory_bytes: int | None = None
    """That a chunk declares; None: 1 GiB and twice the bundle's weights; for local nothing is declared."""
    ahead: int = 2
    """Chunks that wait at Ray beside those that there is room for, so that no worker waits for this process."""
    room_seconds: float = 60.0
    """How long the cluster may be without room for a single chunk before the job ends: a node may be on its way."""

    def __post_init__(self) -> None:
        if not self.address:
            raise InputError("--ray needs HOST:PORT of a cluster's head, auto or local")
        if self.address.startswith("ray://"):
            raise InputError(
                f"{self.address} is of the Ray client, which cannot follow a chunk's progress: run tpc-stream on a "
                "machine of the cluster, with --ray auto"
            )
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers are 1 or more, got {self.workers}")

    @property
    def local(self) -> bool:
        return self.address == "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkNeeds:
    """What Ray sets aside for one chunk."""

    cpus: int
    """The threads of each of its engines."""
    gpus: int
    memory_bytes: int

    def room(self, nodes: Sequence[Mapping[str, Any]]) -> int:
        """How many chunks the nodes can make at once, were they idle. nodes: as `ray.nodes()` gives them."""
        return sum(self._room(node["Resources"]) for node in nodes if node["Alive"])

    def _room(self, has: Mapping[str, float]) -> int:
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_bytes}
        return min(int(has.get(name, 0) // need) for name, need in wanted.items() if need)

    def __str__(self) -> str:
        parts = [f"{self.cpus} CPU", f"{self.gpus} GPU" * (self.gpus > 0)]
        parts.append(f"{self.memory_bytes / 2**30:.1f} GiB of memory" * (self.memory_bytes > 0))
        return ", ".join(filter(None, parts))


def chunk_needs(spec: JobSpec, config: RayConfig) -> ChunkNeeds:
    """Of each of the job's chunks: one core for an engine unless `--threads` says otherwise, a GPU if it runs on one.

    Of a local Ray with a number of workers the cores are shared among them.
    """
    threads = spec.options.threads
    if not threads and config.local and config.workers:
        threads = cores() // config.workers
    memory = config.memory_bytes
    if memory is None:
        memory = 0 if config.local else _PROCESS_BYTES + _COPIES * _bundle_bytes(spec.options.bundle)
    return ChunkNeeds(cpus=max(1, threads), gpus=int(uses_gpu(spec.options.backend)), memory_bytes=memory)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def _bundle_bytes(bundle: str | Path) -> int:
    graphs = open_bundle(bundle).manifest.graphs.values()
    return sum(path.stat().st_size for graph in graphs for path in (graph.path, *(data for data, _ in graph.data)))
