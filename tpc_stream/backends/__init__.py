"""Backends by name. A new one is one new file here and one line in `BACKENDS`; heavy imports stay in that file."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from tpc_stream.engine import Backend
from tpc_stream.errors import InputError

BACKENDS: dict[str, str] = {
    "onnxrt": "tpc_stream.backends.onnxrt",
    "trt": "tpc_stream.backends.trt",
    "torch": "tpc_stream.backends.torch_backend",
    "simulated": "tpc_stream.backends.simulated",
}
"""name -> module; the module has `open_backend(*, threads: int, settings: str) -> Backend`."""


def open_backend(name: str, *, threads: int = 0) -> Backend:
    """The backend of that name; InputError for an unknown name, BackendError where it cannot run here.

    Args:
        name: as in `BACKENDS`; what follows a colon are the backend's own settings, as in "simulated:denoise=20".
        threads: CPU threads an engine may use; 0 lets the backend choose.
    """
    kind, _, settings = name.partition(":")
    if kind not in BACKENDS:
        raise InputError(f"no backend {kind!r}; there are {', '.join(BACKENDS)}")
    factory = cast(Callable[..., Backend], import_module(BACKENDS[kind]).open_backend)
    return factory(threads=threads, settings=settings)
