"""Backends by name. A new one is one new file here and one line in `BACKENDS`; heavy imports stay in that file."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from tpc_stream.engine import Backend
from tpc_stream.errors import InputError

BACKENDS: dict[str, str] = {"onnxrt": "tpc_stream.backends.onnxrt"}
"""name -> module; the module has `open_backend(*, threads: int) -> Backend`."""


def open_backend(name: str, *, threads: int = 0) -> Backend:
    """The backend of that name; InputError for an unknown name, BackendError where it cannot run here.

    Args:
        threads: CPU threads an engine may use; 0 lets the backend choose.
    """
    if name not in BACKENDS:
        raise InputError(f"no backend {name!r}; there are {', '.join(BACKENDS)}")
    factory = cast(Callable[..., Backend], import_module(BACKENDS[name]).open_backend)
    return factory(threads=threads)
