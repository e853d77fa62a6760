"""What a job's output depends on, in hashes: if one of them changed, its chunks would not fit together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tpc_stream.bundle import find_bundle
from tpc_stream.errors import SourceError
from tpc_stream.job.frame_index import FrameIndex
from tpc_stream.options import AnimateOptions
from tpc_stream.recording.machine import PACKAGES, package_version

END_BYTES = 1 << 20
"""Of the driving video's head and tail: all of an hour of video would take minutes to hash."""


def fingerprint(
    reference: str | Path, motion: str | Path, options: AnimateOptions, index: FrameIndex
) -> dict[str, str | int]:
    """By the names that are told to people. Raises SourceError where a file cannot be read."""
    hashes = input_hashes(reference, motion, options)
    return hashes | {"driving video's index (sha256)": index.digest} | versions()


def input_hashes(reference: str | Path, motion: str | Path, options: AnimateOptions) -> dict[str, str | int]:
    """Of the files alone; errors as above."""
    try:
        found: dict[str, str | int] = {
            "driving video's size in bytes": Path(motion).stat().st_size,
            "driving video's head (sha256)": _hash_end(Path(motion), head=True),
            "driving video's tail (sha256)": _hash_end(Path(motion), head=False),
            "reference (sha256)": hash_file(Path(reference)),
            "bundle's manifest (sha256)": hash_file(find_bundle(options.bundle) / "manifest.toml"),
        }
        for name in ("reference_mask", "pose_video"):
            if (path := getattr(options, name)) is not None:
                found[f"{name} (sha256)"] = hash_file(Path(path))
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{error.filename} cannot be read ({error.strerror}): check the path") from error
    return found


def versions() -> dict[str, str | int]:
    """Of the packages whose other version may give other pictures."""
    return {f"version of {name}": package_version(name) or "none" for name in PACKAGES}


def differences(made_with: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """One line for each name whose value changed: what it was and what it is."""
    return [
        f"{name} was {_short(made_with.get(name))}, is {_short(now.get(name))}"
        for name in dict.fromkeys([*made_with, *now])
        if made_with.get(name) != now.get(name)
    ]


def hash_file(path: Path) -> str:
    """sha256 of the file, hexadecimal. OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_end(path: Path, *, head: bool) -> str:
    with path.open("rb") as file:
        if not head:
            file.seek(max(0, path.stat().st_size - END_BYTES))
        return hashlib.sha256(file.read(END_BYTES)).hexdigest()


def _short(value: object) -> str:
    if value is None:
        return "not set"
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 and text.isalnum() else text
