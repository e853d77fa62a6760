"""A bundle's graphs opened in a backend, closed in the order that gives all memory back."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Literal

from tpc_stream.bundle import Bundle
from tpc_stream.engine import Backend, Engine
from tpc_stream.manifest import Role
from tpc_stream.profile import Profiler
from tpc_stream.retry import retrying

_log = logging.getLogger(__name__)


def open_engines(
    bundle: Bundle, backend: Backend, *, retry_precision: Literal["fp32"] | None, profiler: Profiler, opening: ExitStack
) -> dict[Role, Engine]:
    """The engines of all graphs; `opening` closes them, and after them the backend where it holds memory of its own.

    retry_precision: what a pass that went wrong is made once more in; each is told and counted in the profile.
    """
    opening.callback(getattr(backend, "close", lambda: None))
    engines: dict[Role, Engine] = {}
    for role, graph in bundle.manifest.graphs.items():
        engines[role] = backend.open(graph)
        opening.callback(engines[role].close)
    if retry_precision is None:
        return engines

    def told(role: Role, fault: str) -> None:
        profiler.count(f"{role} passes repeated in float32", 1)
        _log.warning("a pass of the %s graph is made once more in float32: %s", role, fault)

    engines = retrying(bundle, engines, backend, told)
    for engine in engines.values():
        opening.callback(engine.close)
    return engines
