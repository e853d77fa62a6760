"""A bundle's graph as torch programs, one for each combination of input shapes that comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tpc_stream.backends.torch_fuse import fused
from tpc_stream.backends.torch_layers import LAYERS
from tpc_stream.backends.torch_operators import OPERATORS
from tpc_stream.backends.torch_read import Network, Node, read_network
from tpc_stream.backends.torch_trace import Traced, Tracer, Value, Weights
from tpc_stream.errors import BackendError, EngineError
from tpc_stream.manifest import GraphSpec

_KNOWN = OPERATORS | LAYERS
Shapes = Mapping[str, tuple[int, ...]]


class Programs:
    """Makes programs of one graph.

    Args:
        precision: of everything that is computed; None: what the graph says.
    """

    def __init__(
        self, graph: GraphSpec, *, device: torch.device, precision: torch.dtype | None, channels_last: bool
    ) -> None:
        self._graph = graph
        self._network = _settled(read_network(graph), graph)
        self._lasting = frozenset(id(tensor) for tensor in self._network.weights.values())
        self._weights = Weights(device, channels_last)
        self._precision = precision

    def make(self, shapes: Shapes) -> nn.Module:
        """The program for inputs of these shapes: takes them in the manifest's order, gives a tuple of all outputs.

        Errors: BackendError names a node that torch cannot do, EngineError one that does not take the shapes.
        """
        graph = self._graph
        tracer = Tracer(self._weights, precision=self._precision, lasting=self._lasting)
        values: dict[str, Any] = dict(self._network.weights)
        for spec in graph.inputs:
            values[spec.name] = tracer.input(spec.name, shapes[spec.name], getattr(torch, spec.dtype))
        for node in self._network.nodes:
            _run(node, values, tracer, graph)
        return tracer.program(
            {spec.name: values[spec.name] for spec in graph.outputs},
            {spec.name: getattr(torch, spec.dtype) for spec in graph.outputs},
        ).eval()


def _run(node: Node, values: dict[str, Any], tracer: Tracer | None, graph: GraphSpec) -> None:
    """Adds what the node gives to `values`."""
    operator = _KNOWN.get(node.op)
    if operator is None:
        raise BackendError(
            f"{graph.path}: node {node}: the backend torch does not know {node.op}; use --backend onnxrt for it"
        )
    inputs = tuple(values[name] if name else None for name in node.inputs)
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    assert tracer is not None
    try:
        made = fused(tracer, node, inputs) if any(isinstance(item, Traced) for item in inputs) else None
        made = operator(tracer, node, inputs) if made is None else made
    except BackendError as error:
        raise BackendError(f"{graph.path}: {error}") from error
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        told = ", ".join(str(list(item.shape)) for item in inputs if isinstance(item, Tensor | Traced))
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineError(
            f"the {graph.role} graph does not take these shapes: node {node} of {told}: {reason}"
        ) from error
    for name, value in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=False):
        values[name] = value


def _settled(network: Network, graph: GraphSpec) -> Network:
    """What follows from the weights alone is computed once, not with every program."""
    tracer = Tracer(Weights(torch.device("cpu")), precision=None, lasting=frozenset())
    values: dict[str, Value | None] = dict(network.weights)
    left = []
    for node in network.nodes:
        if all(name in values for name in node.inputs if name) and node.op in _KNOWN:
            _run(node, values, tracer, graph)
        else:
            left.append(node)
    needed = {name for node in left for name in node.inputs} | set(graph.output_names)
    return Network(tuple(left), {k: v for k, v in values.items() if k in needed and isinstance(v, Tensor)})
