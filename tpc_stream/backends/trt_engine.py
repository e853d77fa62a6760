"""A TensorRT plan, ready to run. Written against TensorRT 10 and 11's documented Python API; never run so far.

Arrays may lie on the GPU or on the host. With a CUDA graph, whose addresses are fixed, they are copied into places of
the engine's own on the GPU, unless the same array lies there since the pass before, as r does for the whole run and the
poses for a window; without one the plan reads and writes them where they are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import tensorrt as trt

from tpc_stream.backends.cuda_device import CudaDevice, Held, address_of
from tpc_stream.backends.cuda_graph import Repeated
from tpc_stream.backends.cuda_memory import Block, Pinned
from tpc_stream.backends.trt_build import SUM_OF, CollectingLogger
from tpc_stream.engine import Array, Value, check_tensors
from tpc_stream.errors import BackendError, EngineError
from tpc_stream.manifest import GraphSpec, TensorSpec
from tpc_stream.plans.shapes import ProfileShape
from tpc_stream.resident import Resident

Shape = tuple[int, ...]


class _Slot:
    """The engine's own place for one input: on the device, with a pinned one on the host before it."""

    def __init__(self, name: str) -> None:
        self.pinned = Pinned(name)
        self.block: Block | None = None
        self.holds: Resident | None = None


class TensorRTEngine:
    """One plan with its places.

    Args:
        plan: bytes that `PlanCache` gave, and no others: a plan runs code.
        graphs: whether passes with the shapes of the pass before are repeated as a CUDA graph.
    """

    def __init__(
        self, graph: GraphSpec, plan: bytes, shapes: Sequence[ProfileShape], device: CudaDevice, *, graphs: bool = True
    ) -> None:
        self._graph, self._shapes = graph, {shape.name: shape for shape in shapes}
        self._logger = CollectingLogger()
        self._runtime = trt.Runtime(self._logger)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(f"TensorRT cannot load the plan of {graph.path}: {self._logger.told}")
        inputs, outputs = _specs(engine)
        check_tensors(graph, "inputs", graph.inputs, inputs)
        check_tensors(graph, "outputs", graph.outputs, [o for o in outputs if not o.name.startswith(SUM_OF)])
        context = engine.create_execution_context()
        if context is None:
            raise BackendError(
                f"TensorRT cannot run the plan of {graph.path}: {self._logger.told}; where memory is short say "
                "trt:frames=N with fewer, or take a bundle with the tiny VAE"
            )
        self._engine, self._context, self.device = engine, context, device
        self._dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in outputs}
        self._slots = {tensor.name: _Slot(tensor.name) for tensor in graph.inputs}
        self._written: dict[str, Resident] = {}
        self._down = {tensor.name: Pinned(tensor.name) for tensor in graph.outputs}
        self._repeated = Repeated(f"the plan of {graph.role}") if graphs else None
        self._lock = threading.Lock()
        self._open = True

    def __call__(self, inputs: Mapping[str, Value]) -> dict[str, Array]:
        with self._lock:
            made = self._run(inputs)
            for name, array in made.items():
                self._down[name].fetch(address_of(array), array.nbytes, self.device.stream)
            return {name: self._down[name].read(array.shape, array.dtype) for name, array in made.items()}

    def kept(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        with self._lock:
            made = self._run(inputs)
            return {name: self._copied(array) for name, array in made.items()} if self._fixed else made

    def close(self) -> None:
        if self._open:
            self._open = False
            self.device.stream.wait()
            if self._repeated is not None:
                self._repeated.close()
            del self._context, self._engine, self._runtime
            for pinned in (*(slot.pinned for slot in self._slots.values()), *self._down.values()):
                pinned.close()
            self._slots.clear()
            self._written.clear()

    @property
    def _fixed(self) -> bool:
        """Whether addresses are the same from pass to pass."""
        return self._repeated is not None and self._repeated.wanted

    def _run(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        """Puts one pass on the stream; the outputs' next pass may write over them where addresses are fixed."""
        if not self._open:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        self._check(inputs)
        context, stream = self._context, self.device.stream
        inputs = {spec.name: inputs[spec.name] for spec in self._graph.inputs}
        addresses = {name: self._place(name, array) for name, array in inputs.items()}
        for name, array in inputs.items():
            self._must(context.set_input_shape(name, tuple(array.shape)), f"takes no {name} {list(array.shape)}")
        made = self._outputs()
        addresses |= {name: address_of(array) for name, array in made.items()}
        for name, address in addresses.items():
            self._must(context.set_tensor_address(name, address), f"takes no address for {name}")

        def launch(stream_address: int) -> None:
            self._must(context.execute_async_v3(stream_address), "did not run")

        if self._repeated is None:
            launch(stream.address)
        else:
            shapes = tuple((name, tuple(array.shape)) for name, array in inputs.items())
            self._repeated.run(launch, (shapes, tuple(addresses.values())), stream)
        return self._with_sums(made)

    def _place(self, name: str, array: Value) -> int:
        """The input's address on the device."""
        slot = self._slots[name]
        if isinstance(array, Resident):
            if array.device is not self.device:
                raise EngineError(f"{name} lies on another device than the plan of {self._graph.role}")
            if not self._fixed:
                slot.holds = array  # until the next pass is in the queue behind this one
                return address_of(array)
        if slot.block is None or slot.block.size < array.nbytes:
            slot.block = self.device.pool.take(array.nbytes, name)
            slot.holds = None
        if not isinstance(array, Resident):
            slot.pinned.send(array, slot.block.address, self.device.stream)
            slot.holds = None
        elif slot.holds is not array:
            self.device.stream.copy(slot.block.address, address_of(array), array.nbytes)
            slot.holds = array
        return slot.block.address

    def _outputs(self) -> dict[str, Resident]:
        """Room for all outputs of the shapes that are set: new, or the same as before where addresses are fixed."""
        made: dict[str, Resident] = {}
        for name, dtype in self._dtypes.items():
            shape = tuple(self._context.get_tensor_shape(name))
            self._must(all(size >= 0 for size in shape), f"has no shape for {name}, got {list(shape)}")
            before = self._written.get(name) if self._fixed else None
            if before is not None and before.shape == shape:
                made[name] = before
            else:
                made[name] = self.device.empty(shape, dtype, name)
        if self._fixed:
            self._written = made
        return made

    def _with_sums(self, made: Mapping[str, Resident]) -> dict[str, Resident]:
        """The outputs that were asked for, each with what tells whether it is finite."""
        found: dict[str, Resident] = {}
        for name, array in made.items():
            if not name.startswith(SUM_OF):
                block, total = _block(array), made.get(SUM_OF + name)
                held = Held(block, total=None if total is None else _block(total))
                found[name] = Resident(self.device, array.shape, array.dtype, held)
        return found

    def _copied(self, array: Resident) -> Resident:
        total, stream = _held(array).total, self.device.stream
        own = None
        if total is not None:
            own = self.device.pool.take(4, "a sum")
            stream.copy(own.address, total.address, 4)
        made = self.device.empty(array.shape, array.dtype, "an output", own)
        stream.copy(address_of(made), address_of(array), array.nbytes)
        return made

    def _check(self, inputs: Mapping[str, Value]) -> None:
        """EngineError for inputs that the plan was not built for; its bytes would be read as they are."""
        if inputs.keys() != self._graph.input_names:
            asked, given = ", ".join(sorted(self._graph.input_names)), ", ".join(sorted(inputs))
            raise EngineError(f"the {self._graph.role} graph takes {asked}, got {given}")
        for spec in self._graph.inputs:
            array = inputs[spec.name]
            if array.dtype != spec.dtype:
                raise EngineError(f"the {self._graph.role} graph takes {spec}, got {array.dtype}")
            if not self._shapes[spec.name].holds(array.shape):
                raise EngineError(
                    f"the plan of {self._graph.role} is for {self._shapes[spec.name]}, got {list(array.shape)}: "
                    "say how many frames enter one pass, as in --backend trt:frames=16"
                )

    def _must(self, done: bool, what: str) -> None:
        if not done:
            text = f"the TensorRT plan of {self._graph.role} {what}: {self._logger.told}"
            if "memory" in self._logger.told.lower():
                text += "; take a smaller --window, or a bundle with the tiny VAE"
            raise EngineError(text)


def _held(array: Resident) -> Held:
    held = array.data
    if not isinstance(held, Held):
        raise EngineError("an array of another device came to a TensorRT plan")
    return held


def _block(array: Resident) -> Block:
    return _held(array).block


def _specs(engine: trt.ICudaEngine) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Inputs and outputs of the plan; -1 is a free axis."""
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    for k in range(engine.num_io_tensors):
        name = engine.get_tensor_name(k)
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
        shape = tuple(size if size >= 0 else "?" for size in engine.get_tensor_shape(name))
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(TensorSpec(name, dtype, shape))
    return inputs, outputs
