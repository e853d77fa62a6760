"""Buffers on the GPU with pinned twins on the host, one stream. Written against cuda.bindings 13; never run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart

from tpc_stream.engine import Array
from tpc_stream.errors import BackendError, EngineError

_LEAST_BYTES = 256
"""An empty tensor has an address as well; this is CUDA's own alignment."""


class Stream:
    """One CUDA stream. BackendError where CUDA cannot start."""

    def __init__(self) -> None:
        made = cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking)
        self.handle: Any = _checked(made, lambda text: BackendError(f"CUDA cannot start: {text}; see nvidia-smi"))

    @property
    def address(self) -> int:
        return int(self.handle)

    def wait(self) -> None:
        _checked(cudart.cudaStreamSynchronize(self.handle), _failed("waiting for the GPU"))

    def close(self) -> None:
        if self.handle is not None:
            cudart.cudaStreamDestroy(self.handle)
        self.handle = None


class Buffer:
    """Memory of one tensor, which grows and never shrinks: on the device, and pinned on the host."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bytes = 0
        self._host = 0
        self.address = 0
        """On the device."""

    def reserve(self, count: int) -> None:
        """Room for so many bytes; EngineError with what to do where the GPU has no more."""
        wanted = max(count, _LEAST_BYTES)
        if wanted <= self._bytes:
            return
        self.close()
        self.address = int(_checked(cudart.cudaMalloc(wanted), self._full(wanted)))
        self._host = int(_checked(cudart.cudaMallocHost(wanted), self._full(wanted)))
        self._bytes = wanted

    def send(self, array: Array, stream: Stream) -> None:
        """Starts copying the array to the device; `array` may change as soon as this returns."""
        self.reserve(array.nbytes)
        if array.nbytes:
            np.copyto(self._view(array.shape, array.dtype), array)
            kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
            started = cudart.cudaMemcpyAsync(self.address, self._host, array.nbytes, kind, stream.handle)
            _checked(started, _failed(f"copying {self._name} to the GPU"))

    def fetch(self, count: int, stream: Stream) -> None:
        """Starts copying so many bytes to the host; `read` after `stream.wait`."""
        if count:
            kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
            started = cudart.cudaMemcpyAsync(self._host, self.address, count, kind, stream.handle)
            _checked(started, _failed(f"copying {self._name} from the GPU"))

    def read(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A copy of what was fetched."""
        return self._view(shape, dtype).copy()

    def close(self) -> None:
        if self.address:
            cudart.cudaFree(self.address)
        if self._host:
            cudart.cudaFreeHost(self._host)
        self.address = self._host = self._bytes = 0

    def _view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = memoryview((ctypes.c_byte * count).from_address(self._host))
        made: Array = np.frombuffer(memory, dtype=dtype).reshape(shape)
        return made

    def _full(self, wanted: int) -> Callable[[str], EngineError]:
        return lambda text: EngineError(
            f"CUDA gives no {wanted / 2**20:.1f} MiB for {self._name}: {text}"
            + ("; take a smaller --window, or a bundle with the tiny VAE" if "memory" in text else "; see nvidia-smi")
        )


def _failed(doing: str) -> Callable[[str], EngineError]:
    return lambda text: EngineError(f"CUDA failed while {doing}: {text}")


def _checked(result: tuple[Any, ...], error: Callable[[str], Exception]) -> Any:
    """What the call gave, without its status; `error` of the status in words where that is not success."""
    status, *values = result
    if status != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(status)
        raise error(text.decode() if isinstance(text, bytes) else str(text))
    return values[0] if values else None
