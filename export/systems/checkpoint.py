"""Reading a checkpoint file, whatever its format, without running anything that may be inside it."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tpc_stream.errors import CheckpointError

PICKLED = (".bin", ".pth", ".ckpt", ".pt")
WRAPPERS = ("state_dict", "module", "model")
"""Keys under which trainers put the state dict beside their own affairs."""
LARGEST_POINTER = 1024
"""Bytes: git-lfs leaves a small text in place of a file that was not fetched."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Key -> tensor, as the file has them. Errors: CheckpointError names the file, and the key where there is one.

    Pickles are read with weights_only=True: one that holds anything but tensors and plain containers is refused.
    """
    _refuse_pointer(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path} is no whole safetensors file ({error}); fetch it again") from error
    if path.suffix in PICKLED:
        return _unwrapped(_unpickled(path), path)
    raise CheckpointError(f"{path} has the ending {path.suffix!r}; known are .safetensors, {', '.join(PICKLED)}")


def read_config(path: Path) -> Mapping[str, Any]:
    """The config.json beside a checkpoint file, or nothing where there is none."""
    source = path.parent / "config.json"
    if not source.is_file():
        return {}
    try:
        config = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source} cannot be read ({error}); fetch it again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{source} holds a {type(config).__name__}, not a table; fetch it again")
    return config


def _unpickled(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # torch doubts whether it can read newer pickle protocols: it either does or raises
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "nsupported" in str(error) or "GLOBAL" in str(error):
            raise CheckpointError(
                f"{path} is a pickle with more than tensors in it, which could run code; it was not run "
                f"({_first_line(error)}); get the .safetensors version, or save the tensors alone"
            ) from error
        raise CheckpointError(f"{path} is no whole checkpoint ({_first_line(error)}); fetch it again") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path} is no whole checkpoint ({_first_line(error)}); fetch it again") from error


def _unwrapped(loaded: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not key -> tensor")
    for wrapper in WRAPPERS:
        inner = loaded.get(wrapper)
        if isinstance(inner, Mapping):
            loaded = inner
            break
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {key!r} holds a {type(value).__name__}, not a tensor")
    return dict(loaded)


def _refuse_pointer(path: Path) -> None:
    try:
        if path.stat().st_size <= LARGEST_POINTER and path.read_bytes().startswith(b"version https://git-lfs"):
            raise CheckpointError(f"{path} is a git-lfs pointer, not the file itself; run `git lfs pull` there")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    lines = [line for line in text.splitlines() if "GLOBAL" in line] or text.splitlines()
    return lines[0].strip()
