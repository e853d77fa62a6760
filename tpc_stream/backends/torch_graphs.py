"""CUDA graphs of torch programs: recorded once for fixed places in memory, then played. Never run so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

Program = Callable[..., tuple[Tensor, ...]]
WARM_UPS = 3
"""Passes before the recording, in which libraries choose their kernels and take their memory."""
_log = logging.getLogger(__name__)
_pools: list[Any] = []
"""The memory of all recordings of the process: they are played one after the other on one stream, and what a recording
gave is copied out before the next is played, so that they may share it."""
_turn = Lock()
"""Held from copying in to copying out: engines run in several threads."""


class Recorded:
    """A program that is played. Its results are copied out, since the next pass writes to the same places."""

    def __init__(self, program: Program, given: Sequence[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in given]
        side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                program(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # other threads of the pipeline go on using the GPU meanwhile
        with torch.cuda.graph(self._graph, pool=_pool(), capture_error_mode="thread_local"):
            self._outputs = program(*self._inputs)

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        with _turn:
            for place, tensor in zip(self._inputs, given, strict=True):
                place.copy_(tensor)
            self._graph.replay()
            return tuple(tensor.clone() for tensor in self._outputs)


def _pool() -> Any:
    if not _pools:
        _pools.append(torch.cuda.graph_pool_handle())
    return _pools[0]


def recorded(program: Program, given: Sequence[Tensor], *, what: str) -> Program:
    """The program as a CUDA graph; where it cannot be recorded, a warning and the program as it is."""
    try:
        with _turn:
            return Recorded(program, given)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _log.warning("%s cannot be recorded as a CUDA graph (%s): it is launched operation by operation", what, reason)
        return program
