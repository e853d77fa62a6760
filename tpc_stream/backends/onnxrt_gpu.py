"""ONNX Runtime on an NVIDIA GPU: the CUDA, TensorRT and TensorRT-RTX providers, with bound inputs and outputs.

--backend onnxrt:cuda        needs onnxruntime-gpu, which replaces onnxruntime
--backend onnxrt:tensorrt    needs that and TensorRT
--backend onnxrt:trt-rtx     needs the plug-in onnxruntime-ep-nv-tensorrt-rtx-cu13 beside onnxruntime

Which GPU: the first that CUDA_VISIBLE_DEVICES leaves. Never run on a GPU so far; docs/gpu.md says what was tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from tpc_stream.backends.onnxrt_providers import Provider, first_line, nodes_by_provider, open_session, require
from tpc_stream.backends.onnxrt_tensors import tensor_specs
from tpc_stream.engine import Array, Engine, check_tensors
from tpc_stream.errors import EngineError
from tpc_stream.manifest import GraphSpec


class BoundEngine:
    """One session whose inputs and outputs are bound, so that each crosses to the device and back once a call.

    Args:
        session: opened and checked; on the CPU the binding gives what `session.run` gives.
    """

    def __init__(self, graph: GraphSpec, session: ort.InferenceSession) -> None:
        check_tensors(graph, "inputs", graph.inputs, tensor_specs(session.get_inputs()))
        check_tensors(graph, "outputs", graph.outputs, tensor_specs(session.get_outputs()))
        self._graph = graph
        self._session: ort.InferenceSession | None = session

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._session is None:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        names = self._graph.output_names
        try:
            binding = self._session.io_binding()
            for name, array in inputs.items():  # older versions bind no others than contiguous arrays
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
            for name in names:
                binding.bind_output(name)
            self._session.run_with_iobinding(binding)
            outputs = binding.copy_outputs_to_cpu()
        except Exception as error:  # the runtime raises a class of its own for each status code, without a common base
            raise EngineError(_failure(self._graph, inputs, error)) from error
        return dict(zip(names, outputs, strict=True))

    def close(self) -> None:
        self._session = None


class OnnxRuntimeGpuBackend:
    """Opens graphs as ONNX Runtime sessions on one provider, and refuses those that ran anywhere else."""

    name = "onnxrt"

    def __init__(self, provider: Provider, *, threads: int) -> None:
        self._provider, self._threads = provider, threads
        self._nodes: Counter[str] = Counter()
        require(provider)

    def open(self, graph: GraphSpec) -> Engine:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads  # of the nodes that stay on the CPU
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        session = open_session(self._provider, graph.path, options)
        self._nodes += nodes_by_provider(session)
        return BoundEngine(graph, session)

    def describe(self) -> str:
        nodes = ", ".join(f"{count} nodes on {name}" for name, count in self._nodes.most_common())
        return f"ONNX Runtime {ort.__version__}, {self._provider.name}" + (f": {nodes}" if nodes else "")


def _failure(graph: GraphSpec, inputs: Mapping[str, Array], error: Exception) -> str:
    shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in inputs.items())
    text = f"ONNX Runtime failed in the {graph.role} graph on {shapes}: {first_line(error)}"
    if any(word in str(error).lower() for word in ("out of memory", "failed to allocate", "bad allocation")):
        text += "; the GPU's memory is full: take a smaller --window, or a bundle with the tiny VAE"
    return text
