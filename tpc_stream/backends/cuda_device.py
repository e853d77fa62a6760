"""Arrays that stay on the GPU for the TensorRT backend: rows are joined by copies on the device, cut without any."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tpc_stream.backends.cuda_memory import Block, Pinned, Pool, Stream
from tpc_stream.resident import Array, Resident

Mixer = Callable[[tuple[Array, Resident], tuple[Array, Resident]], Resident]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Where an array lies."""

    block: Block
    offset: int = 0
    """Bytes."""
    total: Block | None = None
    """The sum of its values without their signs, float32, which the plan that wrote it worked out as well."""

    @property
    def address(self) -> int:
        return self.block.address + self.offset


class CudaDevice:
    """All arrays of one backend.

    Args:
        mixer: gives the weighted sum of two latents, by a plan of its own.
    """

    def __init__(self, mixer: Mixer) -> None:
        self.stream, self.pool = Stream(), Pool()
        self._mixer = mixer
        self._lock = threading.Lock()
        self._up, self._down, self._total = Pinned("an array"), Pinned("an array"), Pinned("a sum")

    def send(self, array: Array) -> Resident:
        made = self.empty(array.shape, array.dtype, "an array")
        with self._lock:
            self._up.send(array, address_of(made), self.stream)
        return made

    def fetch(self, array: Resident) -> Array:
        with self._lock:
            self._down.fetch(address_of(array), array.nbytes, self.stream)
            return self._down.read(array.shape, array.dtype)

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Resident:
        made = self.empty(shape, dtype, "zeros")
        self.stream.clear(address_of(made), made.nbytes)
        return made

    def rows(self, array: Resident, start: int, stop: int) -> Resident:
        held, shape = cast(Held, array.data), (stop - start, *array.shape[1:])
        offset = held.offset + start * (array.nbytes // len(array))
        return Resident(self, shape, array.dtype, Held(held.block, offset))

    def joined(self, parts: Sequence[Resident]) -> Resident:
        made = self.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype, "joined rows")
        address = address_of(made)
        for part in parts:
            self.stream.copy(address, address_of(part), part.nbytes)
            address += part.nbytes
        return made

    def mixed(self, terms: Sequence[tuple[Array, Resident]]) -> Resident:
        first, *others = terms
        if not others:
            others = [(np.zeros_like(first[0]), first[1])]
        one = np.ones_like(first[0])
        total = self._mixer(first, others[0])
        for term in others[1:]:
            total = self._mixer((one, total), term)
        return total

    def finite(self, array: Resident) -> bool:
        """Of what a plan has written; anything else was made of that."""
        total = cast(Held, array.data).total
        if total is None:
            return True
        with self._lock:
            self._total.fetch(total.address, 4, self.stream)
            return bool(np.isfinite(self._total.read((), np.dtype(np.float32))))

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], name: str, total: Block | None = None) -> Resident:
        """Room for an array, to be written before it is handed on."""
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return Resident(self, shape, dtype, Held(self.pool.take(count, name), total=total))

    def close(self) -> None:
        """Waits, and frees what nobody holds; the rest is freed when it is let go."""
        self.stream.wait()
        for pinned in (self._up, self._down, self._total):
            pinned.close()
        self.pool.close()
        self.stream.close()


def address_of(array: Resident) -> int:
    """On the device."""
    return cast(Held, array.data).address
