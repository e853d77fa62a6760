"""From files to a system: every key is accounted for, or the checkpoint is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from export.systems.checkpoint import read_config, read_tensors
from export.systems.parts import Part, Sources, locate
from export.systems.widths import Config
from tpc_stream.errors import CheckpointError

System = TypeVar("System", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One part as it was read."""

    path: Path
    tensors: Mapping[str, Tensor]
    """Under the network's keys."""
    config: Config
    strays: tuple[str, ...] = ()
    """Keys of the file that belong to none of its parts; told of once."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was loaded, and what was set aside."""

    files: Mapping[str, Path]
    """Part name -> file."""
    lines: tuple[str, ...]
    """One a file: how many tensors, of what; one for every group of keys that was set aside, and why."""


def read_parts(parts: Sequence[Part], sources: Sources) -> dict[str, Loaded]:
    """Reads every part's file, each file once. Errors: CheckpointError."""
    found = locate(tuple(parts), sources)
    files: dict[Path, dict[str, Tensor]] = {}
    loaded = {}
    for part in parts:
        path = found[part.name]
        strays: tuple[str, ...] = ()
        if path not in files:
            files[path] = read_tensors(path)
            strays = _strays(files[path], [other for other in parts if found[other.name] == path])
        tensors: Mapping[str, Tensor] = files[path]
        if part.prefix:
            tensors = {k.removeprefix(part.prefix): v for k, v in tensors.items() if k.startswith(part.prefix)}
        loaded[part.name] = Loaded(path, part.convert(tensors, path=path), read_config(path), strays)
    return loaded


def fill(system: System, parts: Sequence[Part], loaded: Mapping[str, Loaded]) -> tuple[System, Report]:
    """Puts the tensors into a system built on the meta device, as float32.

    Errors: CheckpointError lists every key that is missing, unexpected, of the wrong shape or not finite.
    """
    problems: list[str] = []
    lines: list[str] = []
    placed: dict[str, dict[str, Tensor]] = {part.module: {} for part in parts}
    for part in parts:
        found = loaded[part.name]
        whole = system.get_submodule(part.module).state_dict()
        expected = part.expected(system)
        allowed = whole if part.lends else expected
        wrong, excused = compare(expected, found.tensors, part, allowed=allowed)
        problems += [f"{found.path}: {line}" for line in wrong]
        problems += [f"{found.path}: unexpected key {key}" for key in found.strays]
        taken = {key: value for key, value in found.tensors.items() if key in allowed}
        problems += [f"{found.path}: {part.prefix}{key} holds values that are not finite" for key in _not_finite(taken)]
        placed[part.module] |= taken
        lines.append(f"{part.name}: {len(taken)} tensors from {found.path}")
        lines += [f"{part.name}: set aside {text}" for text in excused]
        lent = len([key for key in taken if key not in expected])
        if lent:
            lines.append(f"{part.name}: {lent} of them replace those of the base model, as in the authors' loader")
    if problems:
        raise CheckpointError("\n".join(problems))
    for name, tensors in placed.items():
        system.get_submodule(name).load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()},
            assign=True,
        )
    system.eval().requires_grad_(False)
    return system, Report({name: item.path for name, item in loaded.items()}, tuple(lines))


def compare(
    expected: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    part: Part,
    *,
    allowed: Mapping[str, Tensor] | None = None,
) -> tuple[list[str], list[str]]:
    """Every difference that no excuse covers, and the excused ones in groups.

    Args:
        expected: what must be there.
        found: what is there.
        allowed: what may be there; `expected` where not given.
    """
    allowed = expected if allowed is None else allowed
    wrong = [
        f"missing key {part.prefix}{key} {list(value.shape)}" for key, value in expected.items() if key not in found
    ]
    groups: dict[str, list[str]] = {}
    for key, value in found.items():
        if key not in allowed:
            excuse = next((excuse for excuse in part.excuses if excuse.covers(key)), None)
            if excuse is None:
                wrong.append(f"unexpected key {part.prefix}{key} {list(value.shape)}")
            else:
                groups.setdefault(excuse.reason, []).append(part.prefix + key)
        elif value.shape != allowed[key].shape:
            wrong.append(f"key {part.prefix}{key} has shape {list(value.shape)}, not {list(allowed[key].shape)}")
    return wrong, [f"{len(keys)} keys ({keys[0]}, ...): {why}" for why, keys in groups.items()]


class _Uninitialised(TorchFunctionMode):
    """Leaves parameters as they are allocated: what is built on the meta device is filled from a file anyway."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def built_on_meta(build: Callable[[], System]) -> System:
    """What `build` makes, with shapes but without memory."""
    with torch.device("meta"), _Uninitialised():
        return build()


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    return [key for key, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]


def _strays(tensors: Mapping[str, Tensor], owners: Sequence[Part]) -> tuple[str, ...]:
    """In a file of several parts, the keys that belong to none."""
    prefixes = tuple(part.prefix for part in owners)
    return () if not all(prefixes) else tuple(key for key in tensors if not key.startswith(prefixes))
