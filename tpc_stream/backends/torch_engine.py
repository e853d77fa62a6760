"""One graph as torch programs, ready to run: compiled or recorded as CUDA graphs where that was asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tpc_stream.backends.torch_device import TorchDevice
from tpc_stream.backends.torch_program import Programs
from tpc_stream.backends.torch_settings import TorchSettings
from tpc_stream.engine import Array, Value
from tpc_stream.errors import BackendError, EngineError, TpcStreamError
from tpc_stream.manifest import GraphSpec
from tpc_stream.resident import Resident

KEPT_PROGRAMS = 32
"""Combinations of input shapes that are kept; a stream has a handful: full windows, the last one, fewer pictures."""
PICTURES = "N"
"""The name of the first axis of graphs that take pictures one by one; see CONTRIBUTING.md."""
TOGETHER = 4
"""More pictures than so many are filled up to a multiple."""
PRECISIONS = {"graph": None, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Program = Callable[..., tuple[Tensor, ...]]


class TorchEngine:
    """Programs of one graph by the shapes of its inputs; see `engine.ResidentEngine`."""

    def __init__(self, graph: GraphSpec, settings: TorchSettings, device: TorchDevice) -> None:
        self._graph, self._settings, self._device = graph, settings, device
        self._programs: Programs | None = Programs(
            graph,
            device=device.device,
            precision=PRECISIONS[settings.precision],
            channels_last=settings.channels_last and device.device.type == "cuda",
        )
        self._made: OrderedDict[tuple[tuple[int, ...], ...], Program] = OrderedDict()

    @property
    def device(self) -> TorchDevice:
        return self._device

    def __call__(self, inputs: Mapping[str, Value]) -> dict[str, Array]:
        return {name: self._device.fetch(value) for name, value in self.kept(inputs).items()}

    def kept(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        """Runs the graph once and leaves all outputs on the device."""
        if self._programs is None:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        self._check(inputs)
        with torch.no_grad():
            try:
                given = [self._brought(inputs[spec.name]) for spec in self._graph.inputs]
                count, filled = self._filled(given)
                outputs = self._program(filled)(*filled)
                if filled is not given:
                    outputs = tuple(
                        made[:count] if spec.shape[:1] == (PICTURES,) else made
                        for spec, made in zip(self._graph.outputs, outputs, strict=True)
                    )
            except TpcStreamError:
                raise
            except torch.OutOfMemoryError as error:
                raise EngineError(
                    f"the GPU's memory is full in the {self._graph.role} graph ({_first_line(error)}); take a smaller "
                    "--window, precision=fp16, or a bundle with the tiny VAE"
                ) from error
            except RuntimeError as error:
                shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
                raise EngineError(
                    f"PyTorch failed in the {self._graph.role} graph on {shapes}: {_first_line(error)}"
                ) from error
        return {spec.name: self._device.held(made) for spec, made in zip(self._graph.outputs, outputs, strict=True)}

    def close(self) -> None:
        self._programs = None
        self._made.clear()

    def _brought(self, value: Value) -> Tensor:
        return self._device.opened(value) if isinstance(value, Resident) else self._device.brought(value)

    def _check(self, inputs: Mapping[str, Value]) -> None:
        """EngineError for inputs that are not the manifest's."""
        if inputs.keys() != self._graph.input_names:
            asked, given = ", ".join(sorted(self._graph.input_names)), ", ".join(sorted(inputs))
            raise EngineError(f"the {self._graph.role} graph takes {asked}, got {given}")
        for spec in self._graph.inputs:
            value = inputs[spec.name]
            fits = len(value.shape) == len(spec.shape) and all(
                isinstance(n, str) or n == found for n, found in zip(spec.shape, value.shape, strict=True)
            )
            if value.dtype != spec.dtype or not fits:
                raise EngineError(
                    f"the {self._graph.role} graph takes {spec}, got {value.dtype}[{', '.join(map(str, value.shape))}]"
                )

    def _filled(self, given: list[Tensor]) -> tuple[int, list[Tensor]]:
        """The number of pictures, and the inputs with the last picture repeated up to a number that has a program.

        How many pictures are new is drawn by Iterative Propagation: without this nearly every window would wait for a
        program of its own.
        """
        wanting = [spec.shape[:1] == (PICTURES,) for spec in self._graph.inputs]
        count = next((len(tensor) for tensor, wants in zip(given, wanting, strict=True) if wants), 0)
        more = -count % TOGETHER if count > TOGETHER else 0
        if not more:
            return count, given
        return count, [
            torch.cat([tensor, tensor[-1:].expand(more, *tensor.shape[1:])]) if wants else tensor
            for tensor, wants in zip(given, wanting, strict=True)
        ]

    def _program(self, given: list[Tensor]) -> Program:
        key = tuple(tuple(tensor.shape) for tensor in given)
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        assert self._programs is not None
        shapes = dict(zip((spec.name for spec in self._graph.inputs), key, strict=True))
        program: Program = self._programs.make(shapes)
        if self._settings.compile:
            program = self._compiled(program, given)
        if self._settings.graphs:
            from tpc_stream.backends.torch_graphs import recorded

            program = recorded(program, given, what=f"the {self._graph.role} graph")
        self._made[key] = program
        if len(self._made) > KEPT_PROGRAMS:
            self._made.popitem(last=False)
        return program

    def _compiled(self, program: Any, given: list[Tensor]) -> Program:
        compiled: Program = torch.compile(program, dynamic=False)
        try:
            compiled(*given)  # here, where what goes wrong can be told apart from a pass that fails
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # torch.compile raises classes of many packages, without a common base
            raise BackendError(
                f"torch.compile cannot compile the {self._graph.role} graph: {_first_line(error)}; say compile=off"
            ) from error
        return compiled


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
