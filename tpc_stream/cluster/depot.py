"""Where a node keeps the files of a job that came through Ray's object store: once, for all workers on it.

Each process that uses them holds a shared lock, which the kernel takes back with the process. So what a job could not
clean up, since it was killed, is seen to be nobody's by whoever comes next.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tpc_stream.errors import SinkError, SourceError


class Depot:
    """A job's folder on this node, held from the first use to the end of the process.

    Args:
        key: the job's.
        root: where all jobs' folders lie; None: in the system's folder for temporary files.
    """

    def __init__(self, key: str, *, root: Path | None = None) -> None:
        root = root or root_folder()
        self.folder = root / key
        with _errors(self.folder):
            _make_own(root)
            sweep(root, spare=key)
            self._handle = _hold(self.folder)

    def fill(self, files: list[dict[str, Any]], get: Callable[[Any], bytes]) -> Path:
        """The folder with these files in it, as `as_objects` packed them. get: `ray.get`.

        One process fetches, the others wait for it. Raises SinkError where there is no room, SourceError for a file
        that came damaged.
        """
        target = self.folder / "files"
        with _errors(target), (self.folder / "filling").open("w") as filling:
            fcntl.flock(filling, fcntl.LOCK_EX)
            for file in files:
                if not (target / file["name"]).exists():
                    _fetch(file, target / file["name"], get)
        return target

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for the block."""
        with _errors(self.folder), tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def close(self) -> None:
        """Lets go; the files stay for the other workers."""
        os.close(self._handle)


def root_folder() -> Path:
    """Of this user, on this node."""
    return Path(tempfile.gettempdir()) / f"tpc-stream-{os.getuid()}"


def sweep(root: Path, *, spare: str) -> None:
    """Removes the folders that no process holds."""
    for folder in root.glob("*/"):
        if folder.name == spare:
            continue
        try:
            handle = os.open(folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            continue  # another sweeps it, or its first process has just made it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # somebody works with it
        finally:
            os.close(handle)


def remove(key: str, *, root: Path | None = None) -> None:
    """Removes a job's folder, whoever holds it: the job is over."""
    shutil.rmtree((root or root_folder()) / key, ignore_errors=True)


def _hold(folder: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        try:
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_SH)
            if os.fstat(handle).st_ino == os.stat(folder / "lock").st_ino:
                return handle
            os.close(handle)
        except FileNotFoundError:
            continue  # somebody swept it in between


def _make_own(root: Path) -> None:
    """A folder in a place that others write to: nobody else may have made it."""
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise SinkError(f"{root} belongs to somebody else: remove it, or set TMPDIR on this node")


def _fetch(file: dict[str, Any], path: Path, get: Callable[[Any], bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new, digest = path.with_name(path.name + ".new"), hashlib.sha256()
    with new.open("wb") as target:
        for piece in file["pieces"]:
            data = get(piece)
            digest.update(data)
            target.write(data)
    if digest.hexdigest() != file["sha256"]:
        raise SourceError(f"{file['name']} came damaged through the object store: resume to send it anew")
    new.replace(path)


@contextmanager
def _errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, SinkError | SourceError):
            raise
        raise SinkError(
            f"cannot write {error.filename or folder}: {error.strerror}; free some space on this node, or set TMPDIR"
        ) from error
