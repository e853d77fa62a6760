"""A TensorRT plan, ready to run. Written against TensorRT 10 and 11's documented Python API; never run so far.

Arrays cross to the GPU and back at every call, through pinned memory on one stream: what the seam gives are arrays on
the host. No CUDA graph is captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorrt as trt

from tpc_stream.backends.cuda_memory import Buffer, Stream
from tpc_stream.backends.trt_build import CollectingLogger
from tpc_stream.engine import Array, check_tensors
from tpc_stream.errors import BackendError, EngineError
from tpc_stream.manifest import GraphSpec, TensorSpec
from tpc_stream.plans.shapes import ProfileShape


class TensorRTEngine:
    """One plan with its memory.

    Args:
        plan: bytes that `PlanCache` gave, and no others: a plan runs code.
    """

    def __init__(self, graph: GraphSpec, plan: bytes, shapes: Sequence[ProfileShape]) -> None:
        self._graph, self._shapes = graph, {shape.name: shape for shape in shapes}
        self._logger = CollectingLogger()
        self._runtime = trt.Runtime(self._logger)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(f"TensorRT cannot load the plan of {graph.path}: {self._logger.told}")
        inputs, outputs = _specs(engine)
        check_tensors(graph, "inputs", graph.inputs, inputs)
        check_tensors(graph, "outputs", graph.outputs, outputs)
        context = engine.create_execution_context()
        if context is None:
            raise BackendError(
                f"TensorRT cannot run the plan of {graph.path}: {self._logger.told}; where memory is short say "
                "trt:frames=N with fewer, or take a bundle with the tiny VAE"
            )
        self._engine, self._context = engine, context
        self._dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in graph.outputs}
        self._stream = Stream()
        self._buffers = {tensor.name: Buffer(tensor.name) for tensor in (*graph.inputs, *graph.outputs)}
        self._open = True

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if not self._open:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        self._check(inputs)
        context, stream = self._context, self._stream
        for name, array in inputs.items():
            self._must(context.set_input_shape(name, tuple(array.shape)), f"takes no {name} {list(array.shape)}")
            self._buffers[name].send(array, stream)
        shapes = {name: tuple(context.get_tensor_shape(name)) for name in self._dtypes}
        for name, shape in shapes.items():
            self._must(all(size >= 0 for size in shape), f"has no shape for {name}, got {list(shape)}")
            self._buffers[name].reserve(self._bytes(name, shape))
        for name, buffer in self._buffers.items():
            self._must(context.set_tensor_address(name, buffer.address), f"takes no address for {name}")
        self._must(context.execute_async_v3(stream.address), "did not run")
        for name, shape in shapes.items():
            self._buffers[name].fetch(self._bytes(name, shape), stream)
        stream.wait()
        return {name: self._buffers[name].read(shape, self._dtypes[name]) for name, shape in shapes.items()}

    def close(self) -> None:
        if self._open:
            self._open = False
            del self._context, self._engine, self._runtime
            for buffer in self._buffers.values():
                buffer.close()
            self._stream.close()

    def _check(self, inputs: Mapping[str, Array]) -> None:
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

    def _bytes(self, name: str, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape, dtype=np.int64)) * self._dtypes[name].itemsize

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise EngineError(f"the TensorRT plan of {self._graph.role} {what}: {self._logger.told}")


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
