"""ONNX Runtime on an NVIDIA GPU: the CUDA, TensorRT and TensorRT-RTX providers, with bound inputs and outputs.

--backend onnxrt:cuda        needs onnxruntime-gpu, which replaces onnxruntime
--backend onnxrt:tensorrt    needs that and TensorRT
--backend onnxrt:trt-rtx     needs the plug-in onnxruntime-ep-nv-tensorrt-rtx-cu13 beside onnxruntime

Which GPU: the first that CUDA_VISIBLE_DEVICES leaves. Never run on a GPU so far; docs/gpu.md says what was tried.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort

from tpc_stream.backends.onnxrt_device import OrtDevice
from tpc_stream.backends.onnxrt_providers import (
    PROVIDERS,
    Provider,
    first_line,
    nodes_by_provider,
    open_session,
    require,
)
from tpc_stream.backends.onnxrt_tensors import tensor_specs
from tpc_stream.engine import Array, Engine, Value, check_tensors
from tpc_stream.errors import EngineError, InputError
from tpc_stream.manifest import GraphSpec
from tpc_stream.resident import Resident

_log = logging.getLogger(__name__)


class BoundEngine:
    """One session whose inputs are read where they are, and whose outputs stay there or come down as it is asked.

    Args:
        session: opened and checked; on the CPU the binding gives what `session.run` gives.
        device: where arrays are kept.
    """

    def __init__(self, graph: GraphSpec, session: ort.InferenceSession, device: OrtDevice) -> None:
        check_tensors(graph, "inputs", graph.inputs, tensor_specs(session.get_inputs()))
        check_tensors(graph, "outputs", graph.outputs, tensor_specs(session.get_outputs()))
        self._graph = graph
        self._device = device
        self._dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in graph.outputs}
        self._session: ort.InferenceSession | None = session

    @property
    def device(self) -> OrtDevice | None:
        return self._device if self._device.usable else None

    def __call__(self, inputs: Mapping[str, Value]) -> dict[str, Array]:
        outputs = self._run(inputs, keep=False).copy_outputs_to_cpu()
        for array in outputs:
            self._device.came_down(array)
        return dict(zip(self._dtypes, outputs, strict=True))

    def kept(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        values = self._run(inputs, keep=True).get_outputs()
        named = zip(self._dtypes.items(), values, strict=True)
        return {name: self._device.resident(value, dtype) for (name, dtype), value in named}

    def close(self) -> None:
        self._session = None

    def _run(self, inputs: Mapping[str, Value], *, keep: bool) -> Any:
        if self._session is None:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        try:
            binding = self._device.bound(self._session, inputs)
            for name in self._dtypes:
                if keep:
                    self._device.keep_output(binding, name)
                else:
                    binding.bind_output(name)
            self._session.run_with_iobinding(binding)
        except EngineError:
            raise
        except Exception as error:  # the runtime raises a class of its own for each status code, without a common base
            raise EngineError(_failure(self._graph, inputs, error)) from error
        return binding


class OnnxRuntimeGpuBackend:
    """Opens graphs as ONNX Runtime sessions on one provider, and refuses those that ran anywhere else."""

    name = "onnxrt"

    def __init__(self, provider: Provider, *, threads: int) -> None:
        self._provider, self._threads = provider, threads
        self._nodes: Counter[str] = Counter()
        require(provider)
        # TensorRT would compile each of the tiny graphs between the large ones; CUDA, of the same package, just runs
        between = PROVIDERS["cuda"] if provider.setting == "tensorrt" else provider
        self.device = OrtDevice(
            provider.place, lambda model: open_session(between, model, self._options()), told=_log.warning
        )

    def open(self, graph: GraphSpec) -> Engine:
        session = open_session(self._provider, graph.path, self._options())
        self._nodes += nodes_by_provider(session)
        return BoundEngine(graph, session, self.device)

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads  # of the nodes that stay on the CPU
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        return options

    def in_float32(self) -> OnnxRuntimeGpuBackend:
        """The same on the same device, whose products keep all bits of float32; InputError where it cannot be told."""
        if not self._provider.in_float32:
            raise InputError(
                f"{self._provider.name} cannot be told to keep float32: --retry-precision needs --backend onnxrt:cuda, "
                "trt or torch"
            )
        twin = copy(self)
        twin._provider = replace(self._provider, options=self._provider.in_float32)
        return twin

    def describe(self) -> str:
        nodes = ", ".join(f"{count} nodes on {name}" for name, count in self._nodes.most_common())
        return f"ONNX Runtime {ort.__version__}, {self._provider.name}" + (f": {nodes}" if nodes else "")


def _failure(graph: GraphSpec, inputs: Mapping[str, Value], error: Exception) -> str:
    shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in inputs.items())
    text = f"ONNX Runtime failed in the {graph.role} graph on {shapes}: {first_line(error)}"
    if any(word in str(error).lower() for word in ("out of memory", "failed to allocate", "bad allocation")):
        text += "; the GPU's memory is full: take a smaller --window, or a bundle with the tiny VAE"
    return text
