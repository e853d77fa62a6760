"""CUDA-graph capture: the launches of one pass, recorded once and repeated in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

from cuda.bindings import runtime as cudart

from tpc_stream.backends.cuda_memory import Stream, checked, failed
from tpc_stream.errors import EngineError

_log = logging.getLogger(__name__)


class Repeated:
    """Runs what is given; from the second time on with the same key as a recording, which is made then.

    The first run with new shapes lets the library settle, as TensorRT asks; one recording is kept, of the latest key. A
    recording that fails is told once, and everything then runs as it is given.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._key: Hashable = None
        self._graph: Any = None
        self._wanted = True
        self._own: Stream | None = None

    @property
    def wanted(self) -> bool:
        """False once a recording has failed."""
        return self._wanted

    def run(self, launch: Callable[[int], None], key: Hashable, stream: Stream) -> None:
        """`launch` puts the work on the stream whose address it is given.

        key: equal only where every shape and address is.
        """
        if not self._wanted or key != self._key:
            if self._graph is not None:
                stream.wait()  # it may be running
            self._forget()
            self._key = key
            launch(stream.address)
            return
        if self._graph is None:
            try:
                self._graph = self._recorded(launch)
            except EngineError as error:
                self._wanted = False
                _log.warning("%s runs without a CUDA graph, launch by launch: %s", self._name, error)
                launch(stream.address)
                return
        checked(cudart.cudaGraphLaunch(self._graph, stream.handle), failed(f"repeating {self._name}"))

    def close(self) -> None:
        self._forget()
        if self._own is not None:
            self._own.close()
        self._own = None

    def _recorded(self, launch: Callable[[int], None]) -> Any:
        # on a stream of its own, where no other thread's work can get into the recording
        if self._own is None:
            self._own = Stream()
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(cudart.cudaStreamBeginCapture(self._own.handle, mode), failed("beginning to record"))
        fault: EngineError | None = None
        try:
            launch(self._own.address)
        except EngineError as error:
            fault = error
        ended = cudart.cudaStreamEndCapture(self._own.handle)  # always, or the stream stays unusable
        if fault is not None:
            raise fault
        graph = checked(ended, failed("recording"))
        try:
            return checked(cudart.cudaGraphInstantiate(graph, 0), failed("making a graph of the recording"))
        finally:
            cudart.cudaGraphDestroy(graph)

    def _forget(self) -> None:
        if self._graph is not None:
            cudart.cudaGraphExecDestroy(self._graph)
        self._graph = self._key = None
