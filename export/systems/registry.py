"""The systems by name."""

from __future__ import annotations

import importlib
from typing import Any

from export.systems.loading import Report, built_on_meta, fill, read_parts
from export.systems.parts import Sources
from export.systems.system import AnimationSystem
from tpc_stream.errors import CheckpointError, InputError

SYSTEMS: dict[str, tuple[str, str]] = {
    "magicanimate": ("export.systems.magicanimate", "MagicAnimate"),
    "animate-anyone": ("export.systems.animate_anyone", "AnimateAnyone"),
    "disco": ("export.systems.disco", "DisCo"),
    "disco-tm": ("export.systems.disco", "DisCoTemporal"),
    "dreampose": ("export.systems.dreampose", "DreamPose"),
}
"""Name -> module and class; imported only when asked for. A new system is one line and one file."""


def system_class(name: str) -> type[Any]:
    """The class of a system; InputError for an unknown name."""
    if name not in SYSTEMS:
        raise InputError(f"unknown system {name!r}; one of {', '.join(SYSTEMS)}")
    module, cls = SYSTEMS[name]
    return getattr(importlib.import_module(module), cls)


def load_system(name: str, sources: Sources) -> tuple[AnimationSystem, Report]:
    """A system with its published weights, as float32. Errors: CheckpointError names files and keys."""
    cls = system_class(name)
    parts = cls.parts(sources)
    loaded = read_parts(parts, sources)
    try:
        system = built_on_meta(lambda: cls.sized(loaded, sources))
    except (ValueError, TypeError, ZeroDivisionError, IndexError) as error:
        files = ", ".join(sorted({str(item.path) for item in loaded.values()}))
        raise CheckpointError(f"no {name} has the widths of {files}: {error}") from error
    return fill(system, parts, loaded)
