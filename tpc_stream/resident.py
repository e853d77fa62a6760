"""Arrays that stay on a backend's device from one graph to the next, and what is done with them in between.

What lies between two graphs (rows of features are put together, latents are moved to the next noise level) is written
once, for `Value`s. NumPy arrays are left to NumPy and cost nothing more; `Resident`s are handles that only their
`Device` can open, and what is asked of it is little: joining, cutting, and weighted sums, which is all that a sampler's
step is. A backend that keeps arrays has engines with the two members of `engine.ResidentEngine`; no other knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Device(Protocol):
    """Where a backend keeps arrays. Every method may be called in any thread; results are new handles."""

    def send(self, array: Array) -> Resident:
        """The array, brought up; it may change afterwards."""
        ...

    def fetch(self, array: Resident) -> Array:
        """A copy, brought down."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Resident: ...

    def rows(self, array: Resident, start: int, stop: int) -> Resident:
        """array[start:stop], at least one row."""
        ...

    def joined(self, parts: Sequence[Resident]) -> Resident:
        """The rows of all parts, of which there are two or more."""
        ...

    def mixed(self, terms: Sequence[tuple[Array, Resident]]) -> Resident:
        """The sum of weight * array over one or more terms: weights float32 [rows, 1, ...], arrays float32, equal in
        shape."""
        ...

    def finite(self, array: Resident) -> bool:
        """Whether it surely holds neither NaN nor infinity: one number comes down."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """An array on a device, into which nobody writes."""

    device: Device
    shape: tuple[int, ...]
    """[rows, ...]."""
    dtype: np.dtype[Any]
    data: object
    """What the device knows it by."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


Value = Array | Resident


def on_host(value: Value) -> Array:
    """The array where NumPy can read it."""
    return value.device.fetch(value) if isinstance(value, Resident) else value


def zeros_like(value: Value) -> Value:
    """Zeros where the value is."""
    if isinstance(value, Resident):
        return value.device.zeros(value.shape, value.dtype)
    return np.zeros_like(value)


def rows(value: Value, start: int, stop: int) -> Value:
    """value[start:stop], 0 <= start < stop <= rows; of a NumPy array a view."""
    if not isinstance(value, Resident):
        return value[start:stop]
    return value if (start, stop) == (0, len(value)) else value.device.rows(value, start, stop)


def joined(parts: Sequence[Value]) -> Value:
    """The rows of all parts, one after the other; on the device if any of them is there."""
    device = next((part.device for part in parts if isinstance(part, Resident)), None)
    if device is None:
        return np.concatenate(cast(Sequence[Array], parts))
    there = [part if isinstance(part, Resident) else device.send(part) for part in parts if len(part)]
    return there[0] if len(there) == 1 else device.joined(there)


class Terms:
    """A weighted sum of residents that is not worked out yet: what arithmetic with numbers makes of them.

    `sampler`, `pndm`, `guidance` and `window.crossfade` are sums of arrays times numbers, so that they run on this as
    they run on arrays. Weights are gathered in float64 and applied once, where NumPy rounds after each operation.
    """

    __array_ufunc__ = None  # or NumPy's numbers would take it apart instead of calling __rmul__
    dtype = np.dtype(np.float32)

    def __init__(self, terms: Sequence[tuple[Array, Resident]]) -> None:
        self._terms = tuple(terms)

    def __len__(self) -> int:
        return len(self._terms[0][1])

    @property
    def ndim(self) -> int:
        return len(self._terms[0][1].shape)

    def made(self) -> Resident:
        """The sum itself."""
        first, lead = self._terms[0][1], (len(self), *[1] * (self.ndim - 1))
        kept = [(weight, array) for weight, array in self._terms if weight.any()] or [self._terms[0]]
        if len(kept) == 1 and np.all(kept[0][0] == 1):
            return kept[0][1]
        weights = [np.ascontiguousarray(np.broadcast_to(weight, lead), dtype=np.float32) for weight, _ in kept]
        return first.device.mixed(list(zip(weights, (array for _, array in kept), strict=True)))

    def _times(self, number: Any) -> Terms:
        return Terms([(weight * np.asarray(number, dtype=np.float64), array) for weight, array in self._terms])

    def __mul__(self, number: Any) -> Terms:
        return self._times(number)

    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> Terms:
        return self._times(1 / np.asarray(number, dtype=np.float64))

    def __add__(self, other: Any) -> Terms:
        if isinstance(other, Terms):
            weights = {id(array): (weight, array) for weight, array in self._terms}
            for weight, array in other._terms:
                before = weights.get(id(array))
                weights[id(array)] = (weight if before is None else before[0] + weight, array)
            return Terms(list(weights.values()))
        return self if isinstance(other, int) and other == 0 else NotImplemented  # where sum() begins

    __radd__ = __add__

    def __sub__(self, other: Terms) -> Self | Terms:
        return self + other._times(-1)


def as_terms(value: Value) -> Any:
    """What arithmetic is written for: the array itself, or the resident as a sum of one term."""
    return Terms([(np.ones((), dtype=np.float64), value)]) if isinstance(value, Resident) else value


def settled(result: Any) -> Value:
    """What arithmetic gave, as a value."""
    return result.made() if isinstance(result, Terms) else cast(Array, result)
