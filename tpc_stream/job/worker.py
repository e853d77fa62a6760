"""A worker process: opens its own engines, takes chunk after chunk from the job's process, and dies with it."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tpc_stream.errors import InputError, TpcStreamError
from tpc_stream.job.alone import make_alone
from tpc_stream.job.fingerprint import differences, input_hashes, versions
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.messages import Failed, Ready
from tpc_stream.job.segment_maker import SegmentMaker
from tpc_stream.job.spec import JobSpec


def work(connection: Connection, folder: Path, threads: int) -> None:
    """The process's main function: until it is given None, or the other end is gone.

    threads: of each engine. An error that is none of this package's ends the process with a traceback: a crash.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the job's process ends its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()
    job = JobFolder(folder)
    try:
        spec = job.read()
        _check_here(spec)
        with SegmentMaker(spec, threads=threads) as maker:
            connection.send(Ready())
            while (order := connection.recv()) is not None:
                for event in make_alone(job, maker, [order.chunk], onward=order.onward):
                    connection.send(event)
                connection.send(Ready())
    except TpcStreamError as error:
        connection.send(Failed(str(error), type(error).__name__))
    except (EOFError, BrokenPipeError):  # the job's process is gone
        return


def raise_failed(failed: Failed, *, what: str) -> None:
    """Raises, in the job's process, what a worker could not do."""
    if failed.kind == IndexMismatchError.__name__:
        raise IndexMismatchError(failed.message)
    kinds = {kind.__name__: kind for kind in _subclasses(TpcStreamError)}
    raise kinds.get(failed.kind, TpcStreamError)(f"{what}: {failed.message}")


def _subclasses(kind: type[TpcStreamError]) -> list[type[TpcStreamError]]:
    return [kind, *(below for own in kind.__subclasses__() for below in _subclasses(own))]


def _check_here(spec: JobSpec) -> None:
    """What this process reads has to be what the job began with: it may have begun long after."""
    now = input_hashes(spec.reference, spec.motion, spec.options) | versions()
    changed = differences({name: spec.fingerprint.get(name) for name in now}, now)
    if changed:
        raise InputError(f"this worker has other files or packages than the job: {'; '.join(changed)}; restore them")


def _die_with_parent() -> None:
    """A job's process that was killed cannot end its workers, and they would go on for a whole chunk."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
