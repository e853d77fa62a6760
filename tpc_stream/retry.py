"""A pass that gave NaN, infinity or black is made once more in float32, where the user asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from tpc_stream.bundle import Bundle
from tpc_stream.engine import Array, Backend, Engine, ResidentEngine, Value, is_black, is_finite, placing
from tpc_stream.errors import InputError
from tpc_stream.manifest import Role
from tpc_stream.onnx_weights import holds_half_precision
from tpc_stream.resident import Device, Resident

Told = Callable[[Role, str], None]
"""Told the graph and what was wrong, in words, at each retry."""


class RetryingEngine:
    """An engine, and another of the same graph in float32 that is opened when it is first needed.

    What the second gives is taken as it is: the checks that follow end the run where it is no better.
    """

    def __init__(self, role: Role, engine: Engine, open_spare: Callable[[], Engine], told: Told) -> None:
        self._role, self._engine, self._open, self._told = role, engine, open_spare, told
        self._opened: Engine | None = None

    @property
    def device(self) -> Device | None:
        return placing(self._engine)

    def __call__(self, inputs: Mapping[str, Value]) -> dict[str, Array]:
        given = cast(Mapping[str, Array], inputs)
        outputs = self._engine(given)
        return self._spare(given) if self._faulty(outputs) else outputs

    def kept(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        outputs = cast(ResidentEngine, self._engine).kept(inputs)
        return cast(ResidentEngine, self._spare).kept(inputs) if self._faulty(outputs) else outputs

    def close(self) -> None:
        self._engine.close()
        if self._opened is not None:
            self._opened.close()

    @property
    def _spare(self) -> Engine:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _faulty(self, outputs: Mapping[str, Value]) -> bool:
        for name, array in outputs.items():
            if not is_finite(array):
                self._told(self._role, f"{name} held NaN or infinity")
                return True
            if self._role == "decode" and name == "images" and is_black(cast(Array, array)):
                self._told(self._role, "the pictures were black everywhere")
                return True
        return False


def retrying(bundle: Bundle, engines: Mapping[Role, Engine], backend: Backend, told: Told) -> dict[Role, Engine]:
    """The engines, each with a spare in float32; InputError where there is no float32 to be had."""
    for graph in bundle.manifest.graphs.values():
        if holds_half_precision(graph.path):
            raise InputError(
                f"{_name(bundle.folder)} holds half precision itself ({graph.path.name}), so that there is no float32 "
                "to repeat a pass in: export it with --precision fp32, or leave --retry-precision out"
            )
    make: Callable[[], Backend] | None = getattr(backend, "in_float32", None)
    if make is None:
        raise InputError(
            f"the backend {backend.name} has no other float32 to repeat a pass in; on the CPU all is float32 already: "
            "leave --retry-precision out"
        )
    spare = make()
    prepare = getattr(spare, "prepare", None)
    if prepare is not None:  # what takes minutes is not left for the moment when a pass has failed
        for graph in bundle.manifest.graphs.values():
            prepare(graph)

    def opener(role: Role) -> Callable[[], Engine]:
        return lambda: spare.open(bundle.manifest.graphs[role])

    return {role: RetryingEngine(role, engine, opener(role), told) for role, engine in engines.items()}


def _name(folder: Path) -> str:
    return f"the bundle {folder.name}"
