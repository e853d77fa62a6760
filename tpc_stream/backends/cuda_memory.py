"""CUDA's memory and its one stream, from Python. Written against cuda.bindings 13; never run on a GPU.

All work of a backend goes to one stream, in whatever thread it is given: it is done in the order in which it was given,
so that memory may be handed on as soon as its last reader is in the queue, and nobody waits but who brings arrays down.
"""

from __future__ import annotations

import ctypes
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart

from tpc_stream.errors import BackendError, EngineError
from tpc_stream.resident import Array

_GRAIN = 256
"""Bytes; CUDA's own alignment, and what a tensor of none has an address for."""
Failure = Callable[[str], Exception]


class Stream:
    """One CUDA stream. BackendError where CUDA cannot start."""

    def __init__(self) -> None:
        made = cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking)
        self.handle: Any = checked(made, lambda text: BackendError(f"CUDA cannot start: {text}; see nvidia-smi"))

    @property
    def address(self) -> int:
        return int(self.handle)

    def wait(self) -> None:
        checked(cudart.cudaStreamSynchronize(self.handle), failed("waiting for the GPU"))

    def copy(self, to: int, source: int, count: int) -> None:
        """On the device."""
        if count and to != source:
            kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
            started = cudart.cudaMemcpyAsync(to, source, count, kind, self.handle)
            checked(started, failed("copying on the GPU"))

    def clear(self, address: int, count: int) -> None:
        if count:
            checked(cudart.cudaMemsetAsync(address, 0, count, self.handle), failed("clearing memory of the GPU"))

    def close(self) -> None:
        if self.handle is not None:
            cudart.cudaStreamDestroy(self.handle)
        self.handle = None


class Block:
    """Memory on the device, which goes back to its pool when nobody holds it any more."""

    def __init__(self, pool: Pool, address: int, size: int) -> None:
        self._pool, self.address, self.size = pool, address, size

    def __del__(self) -> None:
        self._pool.give_back(self.address, self.size)


class Pool:
    """Memory of the device by size; what was given back is taken again."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._lock = threading.RLock()  # a block may be given back by the collector while one is taken
        self._closed = False

    def take(self, count: int, name: str) -> Block:
        """Room for so many bytes; EngineError with what to do where the GPU has no more."""
        size = max(-(-count // _GRAIN), 1) * _GRAIN
        with self._lock:
            if self._free[size]:
                return Block(self, self._free[size].pop(), size)
            made = cudart.cudaMalloc(size)
            if made[0] != cudart.cudaError_t.cudaSuccess and any(self._free.values()):
                self._release()  # other sizes that nobody holds may make room; cudaFree waits for their readers
                made = cudart.cudaMalloc(size)
            return Block(self, int(checked(made, full(size, name))), size)

    def give_back(self, address: int, size: int) -> None:
        with self._lock:
            if self._closed:
                cudart.cudaFree(address)
            else:
                self._free[size].append(address)

    def close(self) -> None:
        """Frees what nobody holds, and from now on what is given back."""
        with self._lock:
            self._closed = True
            self._release()

    def _release(self) -> None:
        for addresses in self._free.values():
            for address in addresses:
                cudart.cudaFree(address)
        self._free.clear()


class Pinned:
    """Memory of the host that the GPU copies from and to by itself; it grows and never shrinks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._host = self._bytes = 0
        event = cudart.cudaEventCreateWithFlags(cudart.cudaEventDisableTiming)
        self._event: Any = checked(event, failed("making an event"))

    def send(self, array: Array, address: int, stream: Stream) -> None:
        """Starts copying the array to the device; `array` may change as soon as this returns."""
        self._reserve(array.nbytes)
        if array.nbytes:
            np.copyto(self._view(array.shape, array.dtype), array)
            kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
            started = cudart.cudaMemcpyAsync(address, self._host, array.nbytes, kind, stream.handle)
            checked(started, failed(f"copying {self._name} to the GPU"))
            self._mark(stream)

    def fetch(self, address: int, count: int, stream: Stream) -> None:
        """Starts copying so many bytes to the host, to be `read`."""
        self._reserve(count)
        if count:
            kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
            started = cudart.cudaMemcpyAsync(self._host, address, count, kind, stream.handle)
            checked(started, failed(f"copying {self._name} from the GPU"))
            self._mark(stream)

    def read(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A copy of what was fetched, as soon as it is there."""
        self._wait()
        return self._view(shape, dtype).copy()

    def close(self) -> None:
        if self._host:
            cudart.cudaFreeHost(self._host)
        if self._event is not None:
            cudart.cudaEventDestroy(self._event)
        self._host = self._bytes = 0
        self._event = None

    def _reserve(self, count: int) -> None:
        """Room that no copy uses any more."""
        self._wait()
        if count > self._bytes:
            if self._host:
                cudart.cudaFreeHost(self._host)
            self._host = self._bytes = 0
            self._host = int(checked(cudart.cudaMallocHost(count), full(count, self._name)))
            self._bytes = count

    def _mark(self, stream: Stream) -> None:
        checked(cudart.cudaEventRecord(self._event, stream.handle), failed("marking a copy"))

    def _wait(self) -> None:
        checked(cudart.cudaEventSynchronize(self._event), failed(f"waiting for {self._name}"))

    def _view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not count:
            return np.empty(shape, dtype)
        memory = memoryview((ctypes.c_byte * count).from_address(self._host))
        made: Array = np.frombuffer(memory, dtype=dtype).reshape(shape)
        return made


def full(wanted: int, name: str) -> Failure:
    """What is said where there is no room."""
    return lambda text: EngineError(
        f"CUDA gives no {wanted / 2**20:.1f} MiB for {name}: {text}"
        + ("; take a smaller --window, or a bundle with the tiny VAE" if "memory" in text else "; see nvidia-smi")
    )


def failed(doing: str) -> Failure:
    """What is said where a call fails."""
    return lambda text: EngineError(f"CUDA failed while {doing}: {text}")


def checked(result: tuple[Any, ...], error: Failure) -> Any:
    """What the call gave, without its status; `error` of the status in words where that is not success."""
    status, *values = result
    if status != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(status)
        raise error(text.decode() if isinstance(text, bytes) else str(text))
    return values[0] if values else None
