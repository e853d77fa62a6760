"""A TOML table that is read strictly: every mistake in it is told with its file, table and key."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from tpc_stream.errors import BundleError


class Table:
    """A TOML table whose missing, wrongly typed and unknown keys are errors that name the key."""

    def __init__(self, data: Any, where: str, source: Path) -> None:
        if not isinstance(data, dict):
            raise BundleError(f"{source}: [{where}] is missing or no table")
        self.data, self.where, self.source, self.seen = data, where, source, set[str]()

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        self.seen.add(key)
        if key not in self.data:
            if default is ...:
                raise BundleError(f"{self.source}: [{self.where}] lacks {key!r}")
            return default
        value = self.data[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError:
                value = math.inf
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise BundleError(f"{self.source}: [{self.where}] {key} must be {kind.__name__}, is {value!r}")
        if kind is float and isinstance(value, float) and not math.isfinite(value):
            raise BundleError(f"{self.source}: [{self.where}] {key} must be finite, is {value!r}")
        return value

    def choice(self, key: str, options: tuple[str, ...], default: Any = ...) -> Any:
        value = self.take(key, str, default)
        if value not in options:
            raise BundleError(f"{self.source}: [{self.where}] {key} must be one of {', '.join(options)}, is {value!r}")
        return value

    def positive(self, key: str, default: Any = ..., *, least: int = 1) -> int:
        value: int = self.take(key, int, default)
        if value < least:
            raise BundleError(f"{self.source}: [{self.where}] {key} must be at least {least}, is {value}")
        return value

    def file(self, folder: Path) -> Path:
        """The file that the key `file` names, which must lie in `folder`."""
        name: str = self.take("file", str)
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir or "\0" in name:
            raise BundleError(f"{self.source}: [{self.where}] file must lie in the bundle's folder, is {name!r}")
        return folder / name

    def done(self) -> None:
        unknown = sorted(set(self.data) - self.seen)
        if unknown:
            raise BundleError(f"{self.source}: [{self.where}] has unknown keys: {', '.join(unknown)}")
