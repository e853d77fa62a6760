"""A STAND-IN for CUDA: the driver's and the runtime's functions that tpc_stream calls, on memory of the host.

It belongs to stand_in_tensorrt.py, whose first lines say what it proves and what it does not.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any


@dataclass
class Recorded:
    """What was called, and what is to fail."""

    version: str = "10.13.0.35"
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    refused_node: str = ""
    build_error: str = ""
    no_context: bool = False
    no_memory_above: int = 1 << 40
    run_fails: bool = False
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
    made.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
    vars(made).update(members)
    return made


def cuda(recorded: Recorded) -> ModuleType:
    """cuda.bindings.runtime; what is allocated and freed is in `recorded.allocated`."""

    class cudaError_t(IntEnum):
        cudaSuccess, cudaErrorInvalidValue, cudaErrorMemoryAllocation = range(3)

    class cudaMemcpyKind(IntEnum):
        cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost = range(3)

    good = cudaError_t.cudaSuccess

    def allocate(kind: str, size: int) -> tuple[Any, ...]:
        if size > recorded.no_memory_above:
            return cudaError_t.cudaErrorMemoryAllocation, None
        memory = (ctypes.c_byte * size)()
        recorded.allocated[ctypes.addressof(memory)] = memory
        recorded.calls.append((kind, size))
        return good, ctypes.addressof(memory)

    def free(address: int) -> tuple[Any, ...]:
        del recorded.allocated[address]
        return (good,)

    def copy(to: int, source: int, count: int, kind: Any, stream: Any) -> tuple[Any, ...]:
        recorded.calls.append((kind.name, count))
        ctypes.memmove(to, source, count)
        return (good,)

    return module(
        "cuda.bindings.runtime",
        cudaError_t=cudaError_t,
        cudaMemcpyKind=cudaMemcpyKind,
        cudaStreamNonBlocking=1,
        cudaStreamCreateWithFlags=lambda flags: (good, 77),
        cudaStreamSynchronize=lambda stream: (good,),
        cudaStreamDestroy=lambda stream: (good,),
        cudaMalloc=lambda size: allocate("malloc", size),
        cudaMallocHost=lambda size: allocate("malloc_host", size),
        cudaFree=free,
        cudaFreeHost=free,
        cudaMemcpyAsync=copy,
        cudaGetErrorString=lambda status: (good, b"out of memory"),
    )
