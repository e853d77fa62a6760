"""Arrays that stay on a device as ONNX Runtime's OrtValues; what lies between graphs is done by graphs of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort

from tpc_stream.backends import tiny_graphs
from tpc_stream.errors import EngineError
from tpc_stream.resident import Array, Resident, Value

OpenSession = Callable[[bytes], ort.InferenceSession]


@dataclass(frozen=True, slots=True)
class Place:
    """A device as ONNX Runtime names it."""

    kind: str = "cuda"
    """cuda, or cpu, on which everything here works as well and nothing is gained."""
    vendor: int = -1
    """PCI vendor, which a plug-in's "gpu" needs beside the kind."""


class OrtDevice:
    """All arrays of one backend.

    Args:
        open_session: opens a graph on the provider, and refuses any other.
        told: is told in words where nothing can stay on the device.
    """

    def __init__(self, place: Place, open_session: OpenSession, *, told: Callable[[str], None]) -> None:
        self._place, self._open, self._told = place, open_session, told
        self._sessions: dict[tuple[object, ...], ort.InferenceSession] = {}
        self._zeros: dict[tuple[object, ...], Resident] = {}
        self._counting = threading.Lock()
        self.crossings: Counter[str] = Counter()
        """Bytes and arrays that went up and came down, since the backend was opened."""

    @cached_property
    def usable(self) -> bool:
        """Whether arrays can stay: tried once, with two small ones that are sent, added and fetched."""
        tried = np.ones((1, 1), np.float32)
        try:
            found = self.fetch(self.mixed([(tried, self.send(tried)), (tried, self.send(tried))]))
        except Exception as error:  # the runtime raises a class of its own for each status code, without a common base
            line = (str(error).splitlines() or [type(error).__name__])[0]
            self._told(f"arrays cannot stay on {self._place.kind} and cross at every pass, which is slower: {line}")
            return False
        with self._counting:
            self.crossings.clear()
        return bool(found[0, 0] == 2)

    def send(self, array: Array) -> Resident:
        self.went_up(array)
        held = array.copy() if self._place.kind == "cpu" else np.ascontiguousarray(array)
        value = ort.OrtValue.ortvalue_from_numpy(held, self._place.kind, 0, self._place.vendor)
        return self.resident(value, array.dtype)

    def fetch(self, array: Resident) -> Array:
        self.came_down(array)
        found: Array = np.array(array.data.numpy())  # type: ignore[attr-defined]
        return found

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Resident:
        if (shape, dtype) not in self._zeros:
            self._zeros[shape, dtype] = self.send(np.zeros(shape, dtype))
        return self._zeros[shape, dtype]

    def rows(self, array: Resident, start: int, stop: int) -> Resident:
        key = "rows", array.dtype, array.shape[1:]
        session = self._session(key, lambda: tiny_graphs.cutting(array.dtype, array.shape[1:]))
        return self._made(session, {"x": array, "index": np.arange(start, stop)}, array.dtype)

    def joined(self, parts: Sequence[Resident]) -> Resident:
        dtype, shape = parts[0].dtype, parts[0].shape[1:]
        key = "joined", len(parts), dtype, shape
        session = self._session(key, lambda: tiny_graphs.joining(len(parts), dtype, shape))
        return self._made(session, {f"x{k}": part for k, part in enumerate(parts)}, dtype)

    def mixed(self, terms: Sequence[tuple[Array, Resident]]) -> Resident:
        shape = terms[0][1].shape[1:]
        session = self._session(("mixed", len(terms), shape), lambda: tiny_graphs.mixing(len(terms), shape))
        inputs: dict[str, Value] = {f"w{k}": weight for k, (weight, _) in enumerate(terms)}
        inputs |= {f"x{k}": array for k, (_, array) in enumerate(terms)}
        return self._made(session, inputs, np.dtype(np.float32))

    def finite(self, array: Resident) -> bool:
        if array.dtype.kind != "f" or not array.nbytes:
            return True
        rank = len(array.shape)
        session = self._session(("finite", array.dtype, rank), lambda: tiny_graphs.probing(array.dtype, rank))
        binding = self.bound(session, {"x": array})
        binding.bind_output("y")
        session.run_with_iobinding(binding)
        self._count({"flags down": 1})
        return bool(np.isfinite(binding.copy_outputs_to_cpu()[0]))

    def bound(self, session: ort.InferenceSession, inputs: Mapping[str, Value]) -> Any:
        """A binding that reads the inputs where they are; those on the host go up when it runs."""
        binding = session.io_binding()
        for name, array in inputs.items():
            if isinstance(array, Resident):
                if array.device is not self:
                    raise EngineError(f"{name} lies on another device than {self._place.kind}: keep to one backend")
                binding.bind_ortvalue_input(name, array.data)
            else:
                self.went_up(array)
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
        return binding

    def keep_output(self, binding: Any, name: str) -> None:
        """Leaves an output on the device; its shape is not known before the run."""
        # a plug-in's memory is CUDA's as well, and this call takes no vendor
        binding.bind_output(name, "cuda" if self._place.kind == "gpu" else self._place.kind, 0)

    def resident(self, value: ort.OrtValue, dtype: np.dtype[Any]) -> Resident:
        return Resident(self, tuple(value.shape()), dtype, value)

    def went_up(self, array: Array) -> None:
        self._count({"bytes up": array.nbytes, "arrays up": 1})

    def came_down(self, array: Value) -> None:
        self._count({"bytes down": array.nbytes, "arrays down": 1})

    def _count(self, what: Mapping[str, int]) -> None:
        with self._counting:
            self.crossings.update(what)

    def _session(self, key: tuple[object, ...], model: Callable[[], bytes]) -> ort.InferenceSession:
        if key not in self._sessions:
            self._sessions[key] = self._open(model())
        return self._sessions[key]

    def _made(self, session: ort.InferenceSession, inputs: Mapping[str, Value], dtype: np.dtype[Any]) -> Resident:
        binding = self.bound(session, inputs)
        self.keep_output(binding, "y")
        session.run_with_iobinding(binding)
        return self.resident(binding.get_outputs()[0], dtype)
