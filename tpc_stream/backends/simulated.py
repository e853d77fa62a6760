"""No network at all: flat pictures of the right shape after given times, to try the rest of the system under any load.

--backend simulated                            no graph takes any time: what is left is the pipeline's own
--backend simulated:denoise=20,decode=5+1.5    20 ms a pass; 5 ms a pass and 1.5 ms for each frame in it
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tpc_stream.engine import Array, Engine
from tpc_stream.errors import EngineError, InputError
from tpc_stream.manifest import ROLES, GraphSpec, Role, TensorSpec

_OPAQUE = "mattes"
"""The output that is 1 everywhere, so that the flat picture is seen; all others are 0, which is mid grey."""


@dataclass(frozen=True, slots=True)
class GraphTime:
    """How long one pass takes, milliseconds."""

    pass_ms: float = 0.0
    frame_ms: float = 0.0
    """More for each frame in the pass: each row of the first output."""

    def __post_init__(self) -> None:
        if not (0 <= self.pass_ms < math.inf and 0 <= self.frame_ms < math.inf):
            raise InputError(f"a graph takes 0 ms or more, got {self.pass_ms} a pass and {self.frame_ms} a frame")

    def __str__(self) -> str:
        return f"{self.pass_ms:g}" + (f"+{self.frame_ms:g}" if self.frame_ms else "")


@dataclass(frozen=True, slots=True)
class SimulatedTimes:
    """How long the graphs take; those that are not named take no time."""

    by_role: Mapping[Role, GraphTime] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> SimulatedTimes:
        """From "denoise=20,decode=5+1.5": milliseconds a pass, after a plus a frame. InputError for another form."""
        times: dict[Role, GraphTime] = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            role = next((role for role in ROLES if role == name), None)
            if role is None:
                raise InputError(f"no graph {name!r} to simulate; there are {', '.join(ROLES)}, as in denoise=20")
            a_pass, _, a_frame = value.partition("+")
            try:
                times[role] = GraphTime(float(a_pass), float(a_frame or 0))
            except InputError:
                raise
            except ValueError as error:
                raise InputError(
                    f"a simulated time is MS or MS+MS_A_FRAME, as in denoise=20+5, got {part!r}"
                ) from error
        return cls(times)

    def __str__(self) -> str:
        told = ", ".join(f"{role} {took} ms" for role, took in self.by_role.items())
        return told or "no time"


class SimulatedEngine:
    """One graph that is waited for and not run."""

    def __init__(self, graph: GraphSpec, took: GraphTime, sleep: Callable[[float], None]) -> None:
        self._graph, self._time, self._sleep = graph, took, sleep
        self._closed = False

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._closed:
            raise EngineError(f"the {self._graph.role} engine was closed and cannot run")
        sizes = self._sizes(inputs)
        # a free axis that no input has, such as a number of tokens, is 1 long
        shapes = [
            tuple(axis if isinstance(axis, int) else sizes.get(axis, 1) for axis in spec.shape)
            for spec in self._graph.outputs
        ]
        seconds = (self._time.pass_ms + self._time.frame_ms * shapes[0][0]) / 1e3
        if seconds > 0:
            self._sleep(seconds)
        return {
            spec.name: np.full(shape, spec.name == _OPAQUE, dtype=spec.dtype)
            for spec, shape in zip(self._graph.outputs, shapes, strict=True)
        }

    def close(self) -> None:
        self._closed = True

    def _sizes(self, inputs: Mapping[str, Array]) -> dict[str, int]:
        """The free axes' sizes. EngineError where a real graph would refuse the inputs."""
        if inputs.keys() != self._graph.input_names:
            asked, given = ", ".join(sorted(self._graph.input_names)), ", ".join(sorted(inputs))
            raise EngineError(f"the {self._graph.role} graph takes {asked}, got {given}")
        sizes: dict[str, int] = {}
        for spec in self._graph.inputs:
            array = inputs[spec.name]
            if array.dtype != spec.dtype or not _fits(array.shape, spec, sizes):
                raise EngineError(f"the {self._graph.role} graph takes {spec}, got {array.dtype}{list(array.shape)}")
        return sizes


def _fits(shape: tuple[int, ...], spec: TensorSpec, sizes: dict[str, int]) -> bool:
    """Whether the shape is the spec's; its free axes are noted in `sizes`, where others have them already."""
    if len(shape) != len(spec.shape):
        return False
    return all(
        (sizes.setdefault(axis, size) if isinstance(axis, str) else axis) == size
        for axis, size in zip(spec.shape, shape, strict=True)
    )


class SimulatedBackend:
    """Opens graphs as engines that only take time. The graphs' files are not read.

    Args:
        sleep: waits so many seconds; tests give one that moves a clock instead.
    """

    name = "simulated"

    def __init__(self, times: SimulatedTimes | None = None, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._times, self._sleep = times or SimulatedTimes(), sleep

    def open(self, graph: GraphSpec) -> Engine:
        return SimulatedEngine(graph, self._times.by_role.get(graph.role, GraphTime()), self._sleep)

    def describe(self) -> str:
        return f"simulated: {self._times}; flat pictures, no network runs"


def open_backend(*, threads: int, settings: str) -> SimulatedBackend:
    """`settings`: see `SimulatedTimes.parse`; nothing here takes a thread."""
    return SimulatedBackend(SimulatedTimes.parse(settings))
