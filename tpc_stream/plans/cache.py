"""Where plans are kept. A plan holds code for the GPU and its library trusts it: only what this cache wrote is loaded.

    DIGEST.plan    the bytes, written beside and renamed
    DIGEST.json    the key and the bytes' sha256, written after them: a plan without it was never finished
    DIGEST.lock    held while one process builds; the kernel gives it back when the process ends, however it ends

The record lies beside the plan, so the hash proves that the file is whole, and the folder's rights that it is ours:
a folder or file that others may write, or that belongs to others, is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpc_stream.errors import BackendError
from tpc_stream.plans.key import PlanKey

_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """TPC_PLANS, else tpc-stream/plans in the user's cache folder."""
    given = os.environ.get("TPC_PLANS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpc-stream" / "plans"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A plan that may be loaded."""

    data: bytes
    """The very bytes whose hash was checked."""
    path: Path
    build_seconds: float
    """How long it took to build."""
    new: bool
    """Whether it was built just now."""


class PlanCache:
    """A folder of plans.

    Args:
        folder: made, for its owner alone, when the first plan is kept; None: `default_folder()`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def find(self, key: PlanKey) -> Plan | None:
        """The plan kept under the key; None where there is none that was finished.

        BackendError for one that is not what was recorded, or that others could have written.
        """
        plan, record = self._paths(key)
        try:
            noted = json.loads(_own(record))
            data = _own(plan)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BackendError(f"{record} is no record of a plan: delete it, and the plan is built again") from error
        _refuse_writable(self.folder)
        found = hashlib.sha256(data).hexdigest()
        if not isinstance(noted, dict) or noted.get("sha256") != found or noted.get("key") != json.loads(key.text):
            raise BackendError(
                f"{plan} is not the plan that was recorded (sha256 {found[:12]}...) and is not loaded, as a plan runs "
                "code: delete it and its .json, and it is built again; if you did not change it, find out who did"
            )
        return Plan(data, plan, float(noted.get("build_seconds", 0)), new=False)

    def find_or_build(self, key: PlanKey, build: Callable[[], bytes]) -> Plan:
        """The plan kept under the key, else what `build` makes; of several processes that ask, one builds."""
        found = self.find(key)
        if found is not None:
            return found
        with self._locked(key):
            found = self.find(key)  # who held the lock has built it
            if found is not None:
                return found
            began = time.monotonic()
            data = build()
            return self._keep(key, data, time.monotonic() - began)

    def seconds_before(self, key: PlanKey) -> float | None:
        """How long the latest plan of the same graph took to build; None where none was built."""
        same = [noted for noted in self.records() if noted["key"]["graph"] == key.graph]
        latest = max(same, key=lambda noted: float(noted["built"]), default=None)
        return None if latest is None else float(latest["build_seconds"])

    def records(self) -> Iterator[dict[str, Any]]:
        """What is noted of each finished plan; a record that cannot be read is left out."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                noted = json.loads(path.read_text(encoding="utf-8"))
                if path.with_suffix(".plan").is_file() and {"key", "built", "build_seconds"} <= noted.keys():
                    yield noted
            except (OSError, ValueError, AttributeError):
                continue  # only told to the user; loading such a plan is refused in `find`

    def _keep(self, key: PlanKey, data: bytes, build_seconds: float) -> Plan:
        plan, record = self._paths(key)
        noted = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "key": json.loads(key.text),
            "built": time.time(),
            "build_seconds": build_seconds,
        }
        try:
            record.unlink(missing_ok=True)  # a plan is never beside the record of another
            _write(plan, data)
            _write(record, json.dumps(noted, indent=1).encode())
        except OSError as error:
            raise BackendError(f"cannot keep the plan in {self.folder}: {error.strerror}; set TPC_PLANS") from error
        return Plan(data, plan, build_seconds, new=True)

    @contextmanager
    def _locked(self, key: PlanKey) -> Iterator[None]:
        """Waits for its turn; nothing that a killed process leaves behind is waited for."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.folder / f"{key.digest}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BackendError(f"cannot use {self.folder} for plans: {error.strerror}; set TPC_PLANS") from error
        try:
            _refuse_writable(self.folder)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("another process is building this plan in %s: waiting for it", self.folder)
                fcntl.flock(handle, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{key.digest}.*.part"):
                left.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)

    def _paths(self, key: PlanKey) -> tuple[Path, Path]:
        return self.folder / f"{key.digest}.plan", self.folder / f"{key.digest}.json"


def _own(path: Path) -> bytes:
    """The file's bytes; BackendError where it is not ours alone to write."""
    try:
        with path.open("rb") as file:
            _refuse(path, os.fstat(file.fileno()))
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}; set TPC_PLANS to a folder of yours") from error


def _refuse_writable(folder: Path) -> None:
    _refuse(folder, folder.stat())


def _refuse(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BackendError(
            f"{path} belongs to or may be written by others, and a plan runs code: give it to yourself alone "
            f"(chmod go-w, mode is {stat.S_IMODE(status.st_mode):o}), or set TPC_PLANS to a folder of yours"
        )


def _write(path: Path, data: bytes) -> None:
    """The whole file or none of it, also where the machine stops in between."""
    handle, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
