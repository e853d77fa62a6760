"""Workers on this machine: whoever is free takes another chunk; where one dies, another makes its chunk again."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

from tpc_stream.errors import EngineError
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.devices import environment, variables_of
from tpc_stream.job.events import ChunkFinished, ChunkRetried, Event
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.messages import Failed, Message, Ready
from tpc_stream.job.waiting import Waiting
from tpc_stream.job.worker import raise_failed, work

_END_SECONDS = 5.0
"""A worker that was told to end has so long before it is killed."""


@dataclass(slots=True, eq=False)
class _Member:
    process: SpawnProcess
    connection: Connection
    device: str | None
    """Its GPU; None: whatever is visible."""
    chunk: JobChunk | None = None
    """What it works on."""
    last: int | None = None
    """The number of the chunk before."""


Work = Callable[[Connection, Path, int], None]
"""A worker's main function: its end of the pipe, the job's folder, the threads of an engine."""


class Crew(Protocol):
    """Whoever makes chunks as `make_together` does, such as a cluster."""

    def __call__(
        self,
        folder: JobFolder,
        chunks: Sequence[JobChunk],
        *,
        workers: int,
        threads: int,
        retries: int,
        devices: Sequence[str] = (),
    ) -> Iterator[Event]: ...


def make_together(
    folder: JobFolder,
    chunks: Sequence[JobChunk],
    *,
    workers: int,
    threads: int,
    retries: int,
    devices: Sequence[str] = (),
    work: Work = work,
) -> Iterator[Event]:
    """Makes the chunks with so many processes, each with engines of its own of so many threads.

    With `devices` each process sees one of these GPUs alone, as many on each as it comes out evenly.

    A chunk whose worker dies is begun anew, `retries` times at most; then EngineError names it. An error that would
    come again (a full disk, an input that cannot be read) is raised at once. Finished chunks are kept in any case.
    """
    crew = _Crew(folder, threads, work, devices)
    waiting, tries = Waiting(chunks), Counter[int]()
    left = {chunk.number for chunk in chunks}
    try:
        for _ in range(min(workers, len(chunks))):
            crew.hire()
        while left:
            for member, message in crew.messages():
                if isinstance(message, Ready):
                    crew.give(member, waiting)
                elif isinstance(message, Failed):
                    what = f"chunk {member.chunk.number}" if member.chunk else "a worker could not begin"
                    raise_failed(message, what=what)
                elif message is None:
                    yield from _replaced(crew, member, waiting, tries, retries)
                else:
                    if isinstance(message, ChunkFinished):
                        left.discard(message.chunk)
                        member.chunk, member.last = None, message.chunk
                    yield message
    finally:
        crew.dismiss()


def _replaced(crew: _Crew, member: _Member, waiting: Waiting, tries: Counter[int], retries: int) -> Iterator[Event]:
    """Another one for a worker that died, and its chunk back among those that wait."""
    code = crew.bury(member)
    reason = f"its worker was killed by signal {-code}" if code < 0 else f"its worker ended with code {code}"
    number = -1 if member.last is None else -2
    what = "a worker could not begin" if member.last is None else "a worker could not go on after a chunk"
    if member.chunk is not None:
        number = member.chunk.number
        what = f"chunk {number} could not be made"
    tries[number] += 1
    if tries[number] > retries:
        raise EngineError(
            f"{what}, {tries[number]} times: {reason}; the finished chunks are kept. Resume when the cause is gone, "
            "with fewer --workers if memory is short"
        )
    if member.chunk is not None:
        waiting.back(member.chunk, apart=True)
        yield ChunkRetried(number, tries[number] + 1, reason)
    crew.hire()


class _Crew:
    """The processes, and the pipes to them."""

    def __init__(self, folder: JobFolder, threads: int, work: Work, devices: Sequence[str]) -> None:
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the engines' threads half
        self._folder, self._threads, self._work = folder, threads, work
        self._devices = {device: variables_of(device) for device in devices}
        self._members: list[_Member] = []

    def hire(self) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._folder.path, self._threads)
        process = self._context.Process(target=self._work, args=arguments, name="tpc-stream worker", daemon=True)
        device = self._freest()
        with environment({} if device is None else self._devices[device]):
            process.start()
        theirs.close()  # so that its end is seen when the worker dies
        self._members.append(_Member(process, ours, device))

    def _freest(self) -> str | None:
        """The GPU with the fewest workers: one whose worker died is taken by the next."""
        load = Counter(member.device for member in self._members)
        return min(self._devices, key=lambda device: load[device], default=None)

    def messages(self) -> Iterator[tuple[_Member, Message | None]]:
        """Waits for the next ones; None from a worker that died."""
        by_pipe = {member.connection: member for member in self._members}
        for connection in wait(list(by_pipe)):
            member = by_pipe[connection]  # type: ignore[index]
            try:
                yield member, member.connection.recv()
            except (EOFError, ConnectionResetError):
                yield member, None

    def give(self, member: _Member, waiting: Waiting) -> None:
        """The member gets a chunk of those that wait; where none does, it may go."""
        at = [
            other.last if other.chunk is None else other.chunk.number for other in self._members if other is not member
        ]
        order = waiting.take(after=member.last, others=[number for number in at if number is not None])
        member.chunk = None if order is None else order.chunk
        try:
            member.connection.send(order)
        except BrokenPipeError:  # it died since: its pipe tells so next
            return
        if member.chunk is None:
            self._members.remove(member)
            self._end(member)

    def bury(self, member: _Member) -> int:
        """The exit code of a worker that died, which is no member any more."""
        self._members.remove(member)
        self._end(member)
        return member.process.exitcode or 0

    def dismiss(self) -> None:
        """All end now."""
        for member in self._members:
            member.process.terminate()
        while self._members:
            self._end(self._members.pop())

    def _end(self, member: _Member) -> None:
        member.process.join(_END_SECONDS)
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
        member.connection.close()
