"""The chunks that Ray has in hand: handed over, followed frame by frame, cancelled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tpc_stream.cluster import entry
from tpc_stream.cluster.ray_config import ChunkNeeds
from tpc_stream.interrupt import uninterrupted
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.events import FramesMade
from tpc_stream.job.messages import Failed

_TICK_SECONDS = 1.0
"""So long an answer is waited for, before the cluster's room is looked at again."""
_CANCEL_SECONDS = 5.0
"""A chunk that was cancelled ends with its next step; its process is killed where that takes longer."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The chunk's worker, node or segment is gone."""

    reason: str
    others: tuple[JobChunk, ...] = ()
    """Chunks that the same task would have made after it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A chunk is finished, elsewhere."""

    record: dict[str, Any]
    """Of a `ChunkRecord`, as its node wrote it."""
    segment: bytes | str | None
    """The file itself, where it is, or (None) it is in the job's folder already."""
    cpu: str


Answer = FramesMade | Failed | Lost | Segment


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    stream: Any
    """Its answers, as Ray gives them."""
    chunks: deque[JobChunk]
    """That it has yet to make."""


class Tasks:
    """A context manager: whatever runs at its end is cancelled.

    Args:
        ray: the package, connected.
        job: what `entry.enter` is given.
    """

    def __init__(self, ray: Any, needs: ChunkNeeds, job: dict[str, Any]) -> None:
        ray.cloudpickle.register_pickle_by_value(entry)
        asked = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes or None}
        # no retries of Ray's own: they would not be told, nor counted
        self._task = ray.remote(**asked, max_retries=0)(entry.enter)
        self._ray, self._job = ray, ray.put(job)
        self._running: list[_Task] = []

    def __len__(self) -> int:
        return len(self._running)

    def submit(self, chunks: Sequence[JobChunk]) -> None:
        """One task, for chunks that follow one another."""
        self._running.append(_Task(self._task.remote(self._job, [chunk.number for chunk in chunks]), deque(chunks)))

    def answers(self) -> Iterator[tuple[JobChunk, Answer]]:
        """Waits for the next ones, for a second at most; a chunk whose answer is no FramesMade is out of hand."""
        streams = [task.stream for task in self._running]
        ready, rest = self._ray.wait(streams, num_returns=1, timeout=_TICK_SECONDS, fetch_local=False)
        if rest:
            ready += self._ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
        for task in [task for task in self._running if any(task.stream is stream for stream in ready)]:
            chunk, answer = task.chunks[0], self._next(task)
            if isinstance(answer, Segment):
                task.chunks.popleft()
            if not (isinstance(answer, FramesMade) or (isinstance(answer, Segment) and task.chunks)):
                self._running.remove(task)
            yield chunk, answer

    def _next(self, task: _Task) -> Answer:
        errors, (chunk, *others) = self._ray.exceptions, task.chunks
        try:
            told: tuple[Any, ...] = self._ray.get(next(task.stream))
        except StopIteration:
            return Lost("its task ended without a segment", tuple(others))
        except errors.RayError as error:
            return Lost(_reason(errors, error), tuple(others))
        if told[0] == "frames":
            return FramesMade(chunk.number, told[1])
        return Failed(kind=told[1], message=told[2]) if told[0] == "failed" else Segment(*told[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._running:
            return
        with uninterrupted():
            ends = {task.stream.completed(): task.stream for task in self._running}
            for stream in ends.values():
                self._ray.cancel(stream)
            # by their ends alone: whoever asks a cancelled stream for its next answer waits until it is through
            _, left = self._ray.wait(list(ends), num_returns=len(ends), timeout=_CANCEL_SECONDS)
            for end in left:
                self._ray.cancel(ends[end], force=True)


def _reason(errors: Any, error: Exception) -> str:
    """In one line, for people."""
    known = {
        errors.OutOfMemoryError: "its node ran out of memory, and Ray killed its worker",
        errors.NodeDiedError: "its node died",
        errors.WorkerCrashedError: "its worker died, or the node with it",
        errors.ObjectLostError: "its node died before the segment was fetched",
        errors.TaskCancelledError: "somebody cancelled its task",
    }
    for kind, text in known.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, errors.RayTaskError):
        return f"its task failed ({error.cause!r})"
    return f"Ray lost it ({type(error).__name__}: {str(error).splitlines()[0]})"
