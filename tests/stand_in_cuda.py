"""A STAND-IN for CUDA: the driver's and the runtime's functions that tpc_stream calls, on memory of the host.

It belongs to stand_in_tensorrt.py, whose first lines say what it proves and what it does not.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

STREAM = 77
"""The first stream that is made."""


@dataclass
class Recorded:
    """What was called, and what is to fail."""

    version: str = "10.13.0.35"
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    refused_node: str = ""
    build_error: str = ""
    no_context: bool = False
    no_memory_above: int = 1 << 40
    room: int = 1 << 40
    """Bytes that can be allocated together."""
    run_fails: bool = False
    spoilt: str = ""
    """The output that is NaN."""
    no_capture: bool = False
    capturing: list[Any] | None = None
    """What is being recorded as a CUDA graph."""
    streams: set[int] = field(default_factory=set)
    """Those that copies went to."""
    allocated: dict[int, Any] = field(default_factory=dict)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


class StandInDriver:
    """libcuda.so.1 with one GPU, or with none."""

    def __init__(self, count: int = 1, error: int = 0) -> None:
        self.count, self.error = count, error

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:
        name.value = b"Stand-in GPU"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13010
        return 0


def module(name: str, **members: Any) -> ModuleType:
    """A module that is not looked for on disk."""
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(members)
    return made


def cuda(recorded: Recorded) -> ModuleType:
    """cuda.bindings.runtime; what is allocated and freed is in `recorded.allocated`."""

    class cudaError_t(IntEnum):
        cudaSuccess, cudaErrorInvalidValue, cudaErrorMemoryAllocation = range(3)

    class cudaMemcpyKind(IntEnum):
        cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice = range(4)

    class cudaStreamCaptureMode(IntEnum):
        cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed = range(3)

    good = cudaError_t.cudaSuccess

    def allocate(kind: str, size: int) -> tuple[Any, ...]:
        taken = sum(len(memory) for memory in recorded.allocated.values())
        if size > recorded.no_memory_above or taken + size > recorded.room:
            return cudaError_t.cudaErrorMemoryAllocation, None
        memory = (ctypes.c_byte * size)()
        recorded.allocated[ctypes.addressof(memory)] = memory
        recorded.calls.append((kind, size))
        return good, ctypes.addressof(memory)

    def free(address: int) -> tuple[Any, ...]:
        del recorded.allocated[address]
        return (good,)

    def copy(to: int, source: int, count: int, kind: Any, stream: Any) -> tuple[Any, ...]:
        assert recorded.capturing is None
        recorded.streams.add(stream)
        recorded.calls.append((kind.name, count))
        ctypes.memmove(to, source, count)
        return (good,)

    def clear(address: int, value: int, count: int, stream: Any) -> tuple[Any, ...]:
        ctypes.memset(address, value, count)
        return (good,)

    streams = itertools.count(STREAM)

    def begin(stream: int, mode: Any) -> tuple[Any, ...]:
        assert stream not in recorded.streams, "others' work could get into the recording"
        recorded.capturing = []
        return (good,)

    def end(stream: int) -> tuple[Any, ...]:
        graph, recorded.capturing = recorded.capturing, None
        return (cudaError_t.cudaErrorInvalidValue, None) if recorded.no_capture else (good, graph)

    def instantiate(graph: Any, flags: int) -> tuple[Any, ...]:
        recorded.calls.append(("graph", len(graph)))
        return good, graph

    def launch(graph: Any, stream: int) -> tuple[Any, ...]:
        recorded.calls.append(("launch", stream))
        for work in graph:
            work()
        return (good,)

    return module(
        "cuda.bindings.runtime",
        cudaError_t=cudaError_t,
        cudaMemcpyKind=cudaMemcpyKind,
        cudaStreamNonBlocking=1,
        cudaStreamCaptureMode=cudaStreamCaptureMode,
        cudaEventDisableTiming=2,
        cudaStreamCreateWithFlags=lambda flags: (good, next(streams)),
        cudaEventCreateWithFlags=lambda flags: (good, object()),
        cudaEventRecord=lambda event, stream: (good,),
        cudaEventSynchronize=lambda event: (good,),
        cudaEventDestroy=lambda event: (good,),
        cudaMemsetAsync=clear,
        cudaStreamBeginCapture=begin,
        cudaStreamEndCapture=end,
        cudaGraphInstantiate=instantiate,
        cudaGraphLaunch=launch,
        cudaGraphDestroy=lambda graph: (good,),
        cudaGraphExecDestroy=lambda graph: recorded.calls.append(("graph freed",)) or (good,),
        cudaStreamSynchronize=lambda stream: (good,),
        cudaStreamDestroy=lambda stream: (good,),
        cudaMalloc=lambda size: allocate("malloc", size),
        cudaMallocHost=lambda size: allocate("malloc_host", size),
        cudaFree=free,
        cudaFreeHost=free,
        cudaMemcpyAsync=copy,
        cudaGetErrorString=lambda status: (good, b"out of memory"),
    )
