"""ONNX Runtime: on the CPU here, on a GPU in onnxrt_gpu.py."""

from __future__ import annotations

import os
from collections.abc import Mapping

import onnxruntime as ort

from tpc_stream.backends.onnxrt_tensors import tensor_specs
from tpc_stream.engine import Array, Backend, Engine, check_tensors
from tpc_stream.errors import BackendError, EngineError
from tpc_stream.manifest import GraphSpec


class OnnxRuntimeEngine:
    """One ONNX Runtime session."""

    def __init__(self, graph: GraphSpec, *, threads: int) -> None:
        self._graph = graph
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # the pipeline's other threads need the cores while a session waits for work
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            session = ort.InferenceSession(str(graph.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises a class of its own for each status code, without a common base
            text = str(error).splitlines()[0]
            raise BackendError(f"ONNX Runtime cannot open {graph.path}: {text}") from error
        check_tensors(graph, "inputs", graph.inputs, tensor_specs(session.get_inputs()))
        check_tensors(graph, "outputs", graph.outputs, tensor_specs(session.get_outputs()))
        self._session: ort.InferenceSession | None = session

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._session is None:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        names = self._graph.output_names
        try:
            outputs = self._session.run(names, dict(inputs))
        except Exception as error:
            shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in inputs.items())
            raise EngineError(
                f"ONNX Runtime failed in the {self._graph.role} graph on {shapes}: {str(error).splitlines()[0]}"
            ) from error
        return dict(zip(names, outputs, strict=True))

    def close(self) -> None:
        self._session = None


class OnnxRuntimeBackend:
    """Opens graphs as ONNX Runtime sessions on the CPU."""

    name = "onnxrt"

    def __init__(self, *, threads: int) -> None:
        self._threads = threads or len(os.sched_getaffinity(0))

    def open(self, graph: GraphSpec) -> Engine:
        return OnnxRuntimeEngine(graph, threads=self._threads)

    def describe(self) -> str:
        return f"ONNX Runtime {ort.__version__}, CPUExecutionProvider, {self._threads} threads"


def open_backend(*, threads: int, settings: str) -> Backend:
    """`settings`: nothing for the CPU, or a GPU provider, see `onnxrt_providers`."""
    if settings:
        from tpc_stream.backends.onnxrt_gpu import OnnxRuntimeGpuBackend
        from tpc_stream.backends.onnxrt_providers import provider_of

        return OnnxRuntimeGpuBackend(provider_of(settings), threads=threads)
    return OnnxRuntimeBackend(threads=threads)
