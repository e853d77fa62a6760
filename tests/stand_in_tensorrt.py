"""A STAND-IN for TensorRT and CUDA: not the libraries, only the names that tpc_stream calls, noted down and answered.

It proves that the calls are made, in which order and with what, and what becomes of their failures. It proves nothing
about TensorRT: its "plan" is a line of text, and "running" it computes nothing but means of what was sent.
Names and signatures are those of tensorrt-stubs 10.13, of the bindings of 11.4 and of cuda-bindings 13.5, whose status
codes it gives as well.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx

from tests.stand_in_cuda import Recorded, cuda, module

STATES = ("tpc_stream.backends.trt_build", "tpc_stream.backends.trt_engine", "tpc_stream.backends.cuda_memory",
          "tpc_stream.backends.cuda_device", "tpc_stream.backends.cuda_graph")  # fmt: skip
"""Modules that import the libraries at their top, and are imported anew with the stand-in and after it."""


@contextmanager
def stand_in(recorded: Recorded) -> Iterator[Recorded]:
    """Both libraries are the stand-in within; nothing of it stays."""
    names = ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime", *STATES)
    before = {name: sys.modules.pop(name, None) for name in names}
    runtime = cuda(recorded)
    bindings = module("cuda.bindings", runtime=runtime)
    sys.modules |= {
        "tensorrt": _tensorrt(recorded),
        "cuda": module("cuda", bindings=bindings),
        "cuda.bindings": bindings,
        "cuda.bindings.runtime": runtime,
    }
    try:
        yield recorded
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules |= {name: module for name, module in before.items() if module is not None}


def _tensorrt(recorded: Recorded) -> ModuleType:
    class ILogger:
        class Severity(IntEnum):
            INTERNAL_ERROR, ERROR, WARNING = range(3)

    class IProgressMonitor:
        pass

    class TensorIOMode(Enum):
        NONE, INPUT, OUTPUT = range(3)

    class NetworkDefinitionCreationFlag(IntEnum):
        EXPLICIT_BATCH, STRONGLY_TYPED = range(2)

    flags = {"TF32": 6} if recorded.version.startswith("11") else {"FP16": 0, "TF32": 6, "BF16": 17}

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int = 0) -> SimpleNamespace:
            recorded.calls.append(("create_network", flags))
            return _Network()

        def create_builder_config(self) -> SimpleNamespace:
            config = SimpleNamespace(profiles=[], progress_monitor=None)
            config.set_flag = lambda flag: recorded.calls.append(("set_flag", flag.name))
            config.clear_flag = lambda flag: recorded.calls.append(("clear_flag", flag.name))
            config.add_optimization_profile = lambda profile: config.profiles.append(profile) or 0
            return config

        def create_optimization_profile(self) -> SimpleNamespace:
            profile = SimpleNamespace(shapes={})
            profile.set_shape = lambda name, low, usual, high: profile.shapes.update({name: (low, usual, high)})
            return profile

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            monitor = config.progress_monitor
            monitor.phase_start("Building engine", None, 2)
            monitor.phase_start("Timing", "Building engine", 9)
            assert monitor.step_complete("Timing", 0) and monitor.step_complete("Building engine", 0)
            monitor.phase_finish("Timing")
            monitor.phase_finish("Building engine")
            if recorded.build_error:
                self.logger.log(ILogger.Severity.ERROR, recorded.build_error)
                return None
            recorded.calls.append(("build", network.path, config.profiles[0].shapes))
            return json.dumps({"stand-in plan of": network.path, "sums": network.sums, "model": network.model}).encode()

    class OnnxParser:
        def __init__(self, network: Any, logger: Any) -> None:
            self.network, self.num_errors = network, 0

        def parse_from_file(self, path: str) -> bool:
            self.network.path = path
            self.network.outputs = onnx.load(path).graph.output
            self.num_errors = int(bool(recorded.refused_node))
            return not recorded.refused_node

        def parse(self, model: bytes) -> bool:
            self.network.model = model.hex()
            return True

        def get_error(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(
                node=lambda: 3,
                node_name=lambda: recorded.refused_node,
                node_operator=lambda: "NonZero",
                desc=lambda: "unsupported",
            )

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            recorded.calls.append(("deserialize", plan))
            try:
                return _Engine(recorded, json.loads(plan), TensorIOMode)
            except ValueError:
                self.logger.log(ILogger.Severity.ERROR, "magic tag does not match")
                return None

    return module(
        "tensorrt",
        __version__=recorded.version,
        ILogger=ILogger,
        IProgressMonitor=IProgressMonitor,
        TensorIOMode=TensorIOMode,
        NetworkDefinitionCreationFlag=NetworkDefinitionCreationFlag,
        BuilderFlag=IntEnum("BuilderFlag", flags),
        UnaryOperation=Enum("UnaryOperation", "ABS ISNAN"),
        ReduceOperation=Enum("ReduceOperation", "SUM MAX"),
        DataType=IntEnum("DataType", {"FLOAT": onnx.TensorProto.FLOAT, "HALF": onnx.TensorProto.FLOAT16}),
        Builder=Builder,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
        nptype=lambda dtype: onnx.helper.tensor_dtype_to_np_dtype(dtype).type,
    )


class _Network:
    """Notes which sums of outputs are asked for."""

    def __init__(self) -> None:
        self.path, self.model, self.outputs, self.sums = "", "", list[Any](), list[str]()

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_output(self, index: int) -> SimpleNamespace:
        kind = self.outputs[index].type.tensor_type
        return SimpleNamespace(name=self.outputs[index].name, dtype=kind.elem_type, shape=tuple(kind.shape.dim))

    def add_unary(self, tensor: Any, operation: Any) -> SimpleNamespace:
        assert operation.name == "ABS"
        return SimpleNamespace(get_output=lambda index: tensor)

    def add_reduce(self, tensor: Any, operation: Any, axes: int, keep_dims: bool) -> SimpleNamespace:
        assert operation.name == "SUM" and axes == 2 ** len(tensor.shape) - 1 and not keep_dims
        return SimpleNamespace(get_output=lambda index: SimpleNamespace(name=""))

    def mark_output(self, tensor: Any) -> None:
        self.sums.append(tensor.name)


class _Engine:
    """Tells the inputs and outputs of the ONNX file; gives means where a network would run."""

    def __init__(self, recorded: Recorded, plan: Any, modes: Any) -> None:
        path, model = plan["stand-in plan of"], bytes.fromhex(plan["model"])
        graph = (onnx.load_from_string(model) if model else onnx.load(path)).graph
        self.recorded, self._modes = recorded, modes
        self.inputs = {value.name: value for value in graph.input}
        sums = {name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []) for name in plan["sums"]}
        self.values = self.inputs | {value.name: value for value in graph.output} | sums
        self.num_io_tensors = len(self.values)

    def get_tensor_name(self, index: int) -> str:
        return list(self.values)[index]

    def get_tensor_dtype(self, name: str) -> int:
        return int(self.values[name].type.tensor_type.elem_type)

    def get_tensor_mode(self, name: str) -> Any:
        return self._modes.INPUT if name in self.inputs else self._modes.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        axes = self.values[name].type.tensor_type.shape.dim
        return tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in axes)

    def create_execution_context(self) -> Any:
        return None if self.recorded.no_context else _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine, self.shapes, self.addresses = engine, dict[str, tuple[int, ...]](), dict[str, int]()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        known = self.shapes.get(name, self.engine.get_tensor_shape(name))
        first = next(iter(self.shapes.values()))[0]  # of the latents or pictures: the passes' frames
        return tuple(first if size < 0 else size for size in known)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address != 0

    def execute_async_v3(self, stream: int) -> bool:
        recorded = self.engine.recorded
        recorded.calls.append(("execute", stream))
        if recorded.run_fails:
            return False
        if recorded.capturing is not None:
            recorded.capturing.append(_Context.run.__get__(self.copied()))
        else:
            self.run()
        return True

    def copied(self) -> _Context:
        """With the shapes and addresses of now, as a recording keeps them."""
        made = _Context(self.engine)
        made.shapes, made.addresses = dict(self.shapes), dict(self.addresses)
        return made

    def run(self) -> None:
        spoilt = self.engine.recorded.spoilt
        if "w0" in self.shapes:
            self._array("y")[...] = sum(self._array(f"x{k}") * self._array(f"w{k}") for k in range(2))
            return
        mean = np.mean([self._array(name).mean() for name in self.shapes if self._array(name).size])
        outputs = self.engine.values.keys() - self.engine.inputs.keys()
        for name in sorted(outputs, key=lambda name: name.startswith("tpc_sum_of_")):
            whole = name.removeprefix("tpc_sum_of_")
            self._array(name)[...] = np.abs(self._array(whole)).sum() if whole != name else mean
            if name == spoilt:
                self._array(name)[...] = np.nan

    def _array(self, name: str) -> Any:
        shape = self.get_tensor_shape(name)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.engine.get_tensor_dtype(name))
        memory = (ctypes.c_byte * (int(np.prod(shape)) * dtype.itemsize)).from_address(self.addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)
