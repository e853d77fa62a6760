"""The files that a job's workers need, ready to travel: as objects of Ray, or in a folder that all machines see."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError, SinkError, SourceError
from tpc_stream.job.spec import JobSpec
from tpc_stream.manifest import GraphSpec
from tpc_stream.people.sam_bundle import open_sam_bundle

PIECE_BYTES = 64 << 20
"""A file travels in pieces of so many, so that an hour of video needs no memory of its size at either end."""
_FOLDERS = ("bundle", "sam")


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file of the job, and what it is called where it arrives."""

    role: str
    """What the job calls it or its folder: motion, reference, reference_mask, pose_video, bundle, sam."""
    name: str
    """Relative to where all of the job's files lie: a file of its own, or one in the folder `role`."""
    path: Path


def files_of(spec: JobSpec) -> Iterator[JobFile]:
    """All that a chunk reads. Of a bundle only what its manifest names."""
    options = spec.options
    singles = {"motion": spec.motion, "reference": spec.reference}
    singles |= {name: str(p) for name in ("reference_mask", "pose_video") if (p := getattr(options, name)) is not None}
    for role, path in singles.items():
        yield JobFile(role, role + Path(path).suffix, Path(path))
    bundle = open_bundle(options.bundle)
    yield from _folder("bundle", bundle.folder, list(bundle.manifest.graphs.values()))
    if options.sam is not None:
        sam = open_sam_bundle(options.sam)
        yield from _folder("sam", sam.folder, [sam.encode, sam.decode])


def _folder(role: str, folder: Path, graphs: list[GraphSpec]) -> Iterator[JobFile]:
    paths = [path for graph in graphs for path in (graph.path, *(data for data, _ in graph.data))]
    for path in dict.fromkeys([folder / "manifest.toml", *paths]):
        yield JobFile(role, f"{role}/{path.relative_to(folder)}", path)


def as_objects(spec: JobSpec, put: Callable[[bytes], Any]) -> list[dict[str, Any]]:
    """The files in Ray's object store. put: `ray.put`. Raises SourceError where one cannot be read."""
    packed = []
    for file in files_of(spec):
        digest, pieces = hashlib.sha256(), []
        try:
            with file.path.open("rb") as source:
                while piece := source.read(PIECE_BYTES):
                    digest.update(piece)
                    pieces.append(put(piece))
        except OSError as error:
            raise SourceError(f"{file.path} cannot be read ({error.strerror}): check the path") from error
        packed.append({"name": file.name, "sha256": digest.hexdigest(), "pieces": pieces})
    return packed


def in_shared(spec: JobSpec, shared: Path, box: Path) -> dict[str, str]:
    """Where all machines find each role: what lies in the shared folder stays there, the rest is copied to `box`.

    Raises SinkError where it cannot be written.
    """
    found = {}
    for file in files_of(spec):
        path = file.path.absolute()
        if path.is_relative_to(shared):
            depth = file.name.count("/")
            found[file.role] = str(path.parents[depth - 1] if depth else path)
            continue
        target = box / file.name
        found[file.role] = str(box / file.role if file.role in _FOLDERS else target)
        try:
            _copy(path, target)
        except OSError as error:
            raise SinkError(
                f"cannot copy {path} to {target} ({error.strerror}): free some space there or give another --store"
            ) from error
    return found


def places(names: list[str], folder: Path) -> dict[str, str]:
    """The same for files that arrived in a folder under these names."""
    return {
        role: str(folder / role if role in _FOLDERS else folder / name)
        for name in names
        for role in [name.split("/")[0].split(".")[0]]
    }


def shared_folder(text: str) -> Path:
    """`--store DIR`. InputError unless it is a folder."""
    path = Path(text).resolve()
    if not path.is_dir():
        raise InputError(f"--store is object, or a folder that all machines see; there is no folder {path}")
    return path


def _copy(path: Path, target: Path) -> None:
    """A copy that a killed process began has another name; one that is there is checked by whoever reads it."""
    if target.is_file() and target.stat().st_size == path.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    shutil.copyfile(path, new)
    new.replace(target)
