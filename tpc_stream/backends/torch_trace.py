"""A graph for inputs of given shapes becomes a torch program: shapes are numbers by then, and patterns one operation.

Every value is either known (a tensor on the host: weights, shapes, what follows from them) or traced (a place in the
program, with its shape and type). An operation on known values is computed at once; one on traced values is written
down. What is left are the operations that the network's authors wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A value that is known when the program runs."""

    place: fx.Node
    shown: Tensor
    """Its shape and type, on the meta device."""
    op: str = ""
    """What made it, and of what: for `torch_fuse`."""
    made_of: tuple[Value, ...] = ()

    @property
    def shape(self) -> torch.Size:
        return self.shown.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.shown.dtype


Value = Tensor | Traced


@dataclass(slots=True, eq=False)
class Weights:
    """Constants on the device, each once for all programs of an engine."""

    device: torch.device
    channels_last: bool = False
    _held: dict[tuple[int, torch.dtype, bool], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def place(self, tensor: Tensor, dtype: torch.dtype, *, turned: bool = False, lasting: bool) -> Tensor:
        """The tensor on the device in that type; `turned`: transposed; `lasting`: it is the same in every program."""
        key = id(tensor), dtype, turned
        if key in self._held:
            return self._held[key][1]
        made = (tensor.t() if turned else tensor).to(self.device, dtype)
        layout = torch.channels_last if self.channels_last and made.dim() == 4 else torch.contiguous_format
        made = made.contiguous(memory_format=layout)
        if lasting:
            self._held[key] = tensor, made  # the source is held as well, so that its id stays its own
        return made


class Tracer:
    """Writes one program.

    Args:
        weights: where constants go.
        precision: the type of everything that is computed; None: what the graph says.
    """

    def __init__(self, weights: Weights, *, precision: torch.dtype | None, lasting: frozenset[int]) -> None:
        self.precision = precision
        self._weights, self._lasting = weights, lasting
        self._graph = fx.Graph()
        self._constants: dict[str, Tensor] = {}
        self._constant_places: dict[tuple[int, torch.dtype, bool], fx.Node] = {}
        self._kept: list[Tensor] = []
        """Known tensors that were written down: their ids must stay their own while this program is made."""

    def input(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Traced:
        place = self._graph.placeholder(name)
        return Traced(place, torch.empty(shape, dtype=dtype, device="meta"))

    def call(
        self,
        function: Function,
        *args: Any,
        op: str = "",
        made_of: Sequence[Value] = (),
        shown: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """`function` of values and plain numbers: computed at once where all are known, else written down.

        Types are taken as they are: see `cast`, `heavy` and `alike`.

        Args:
            op, made_of: what `torch_fuse` is to know of the result.
            shown: shape and type of the result, where they are plain: asking torch for them takes longer.
        """
        if not any(isinstance(item, Traced) for item in _flat((args, options))):
            return function(*args, **options)
        if shown is None:
            shown = function(*_map(args, _shown), **_map(options, _shown))
        place = self._graph.call_function(function, _map(args, self._place), _map(options, self._place))
        if not isinstance(shown, Tensor):
            parts = [self._graph.call_function(_part, (place, k)) for k in range(len(shown))]
            return tuple(Traced(part, item) for part, item in zip(parts, shown, strict=True))
        return Traced(place, shown, op, tuple(made_of))

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """The value in that type; a cast that changes nothing is left out."""
        if value.dtype == dtype:
            return value
        if isinstance(value, Tensor):
            return self._hold(value, dtype, turned=False)
        made: Value = self.call(torch.Tensor.to, value, dtype)
        return made

    def heavy(self, *values: Value) -> tuple[Value, ...]:
        """Operands of convolutions, products and attention: in the chosen precision."""
        if self.precision is None:
            return values
        return tuple(self.cast(value, self.precision) for value in values)

    def alike(self, *values: Value) -> tuple[Value, ...]:
        """Operands of what is done element by element: the chosen precision, once one of them has it."""
        precision = self.precision
        if precision is None or not any(isinstance(v, Traced) and v.dtype == precision for v in values):
            return values
        return tuple(self.cast(v, precision) if v.dtype.is_floating_point else v for v in values)

    def turned(self, value: Tensor) -> Value:
        """A weight [in, out], as [out, in], in the chosen precision."""
        return self._hold(value, self.precision or value.dtype, turned=True)

    def program(self, outputs: Mapping[str, Value], dtypes: Mapping[str, torch.dtype]) -> nn.Module:
        """The program: takes the inputs in the order of `input`, gives a tuple in that of `outputs`."""
        made = [self.cast(value, dtypes[name]) for name, value in outputs.items()]
        self._graph.output(tuple(self._place(value) for value in made))
        self._graph.eliminate_dead_code()
        used = {str(node.target) for node in self._graph.nodes if node.op == "get_attr"}
        root = nn.Module()
        for name in used:
            root.register_buffer(name, self._constants[name])
        return fx.GraphModule(root, self._graph)

    def _hold(self, tensor: Tensor, dtype: torch.dtype, *, turned: bool) -> Traced:
        """A constant of the program."""
        key = id(tensor), dtype, turned
        if key not in self._constant_places:
            name = f"constant_{len(self._constants)}"
            self._kept.append(tensor)
            lasting = id(tensor) in self._lasting
            self._constants[name] = self._weights.place(tensor, dtype, turned=turned, lasting=lasting)
            self._constant_places[key] = self._graph.get_attr(name)
        shape = tuple(reversed(tensor.shape)) if turned else tensor.shape
        return Traced(self._constant_places[key], torch.empty(shape, dtype=dtype, device="meta"))

    def _place(self, item: Any) -> Any:
        if isinstance(item, Tensor):
            return self._hold(item, item.dtype, turned=False).place
        return item.place if isinstance(item, Traced) else item


def _part(parts: Sequence[Tensor], number: int) -> Tensor:
    return parts[number]


def _shown(item: Any) -> Any:
    if isinstance(item, Traced):
        return item.shown
    return torch.empty_like(item, device="meta") if isinstance(item, Tensor) else item


def _flat(item: Any) -> list[Any]:
    if isinstance(item, Mapping):
        return [part for value in item.values() for part in _flat(value)]
    if isinstance(item, list | tuple) and not isinstance(item, torch.Size):
        return [part for value in item for part in _flat(value)]
    return [item]


def _map(item: Any, function: Function) -> Any:
    if isinstance(item, Mapping):
        return {key: _map(value, function) for key, value in item.items()}
    if isinstance(item, list | tuple) and not isinstance(item, torch.Size):
        return type(item)(_map(value, function) for value in item)
    return function(item)
