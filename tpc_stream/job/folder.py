"""A job on disk: OUT.tpc with a manifest, and for each finished chunk a segment of video and a record of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tpc_stream.errors import InputError, SinkError
from tpc_stream.job.fingerprint import hash_file
from tpc_stream.job.spec import JobSpec
from tpc_stream.job.spec_file import spec_from_json, spec_to_json

SUFFIX = ".tpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRecord:
    """What is known of a finished chunk; written after its segment, so that the record makes it finished."""

    frames: int
    size_bytes: int
    sha256: str
    seconds: float
    """How long it took."""
    finished: float
    """When, seconds of the system's clock."""


class JobFolder:
    """The folder of one job. Every write is a new file, synced and then renamed: a power cut leaves the old or the new.

    Errors: SinkError where it cannot be written, the full disk included.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest = self.path / "job.json"
        self.lock = self.path / "lock"

    @classmethod
    def of(cls, out: str | Path) -> JobFolder:
        """The one that belongs to an output file."""
        return cls(f"{out}{SUFFIX}")

    @property
    def out(self) -> Path:
        """The output that the folder belongs to. InputError for a folder whose name is none of a job."""
        if self.path.suffix != SUFFIX:
            raise InputError(f"{self.path} is no job: its name does not end with {SUFFIX}")
        return self.path.with_suffix("")

    def segment(self, number: int) -> Path:
        return self.path / f"chunk_{number:05d}{self.out.suffix}"

    def part(self, number: int) -> Path:
        """Where this process may write that segment, or (-1) the whole, until it is finished."""
        return self.path / f"part_{os.getpid()}_{number}{self.out.suffix}"

    def create(self, spec: JobSpec) -> None:
        """Begins the job: whatever segments there are, are forgotten."""
        with self._errors():
            self.path.mkdir(exist_ok=True)
            for number in self._numbers():
                self._record(number).unlink(missing_ok=True)
            self._write(self.manifest, spec_to_json(spec))

    def read(self) -> JobSpec:
        """The job. Raises InputError where there is none, or its manifest is damaged."""
        if not self.path.is_dir():
            raise InputError(f"there is no job {self.path}: check the name, which is the output's with {SUFFIX} behind")
        try:
            text = self.manifest.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{self.path} has no manifest job.json: remove the folder and start anew") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.manifest} cannot be read ({error}): remove the folder and start anew") from error
        return spec_from_json(text, path=self.manifest)

    def take(self, number: int, segment: bytes | Path) -> None:
        """A segment that was made elsewhere becomes this process's part; a file is moved."""
        with self._errors():
            if isinstance(segment, bytes):
                self.part(number).write_bytes(segment)
            else:
                shutil.move(segment, self.part(number))

    def finish(self, number: int, *, frames: int, seconds: float, finished: float) -> ChunkRecord:
        """This process's part of that number becomes the segment."""
        part = self.part(number)
        with self._errors():
            _sync(part)
            record = ChunkRecord(
                frames=frames, size_bytes=part.stat().st_size, sha256=hash_file(part), seconds=seconds,
                finished=finished,
            )  # fmt: skip
            part.replace(self.segment(number))
            self._write(self._record(number), json.dumps(asdict(record)) + "\n")
        return record

    def record(self, number: int) -> ChunkRecord | None:
        """Of a finished chunk, without a look into its segment; None for others, and where the record is damaged."""
        try:
            return ChunkRecord(**json.loads(self._record(number).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # a damaged record makes a chunk unfinished, which is told
            return None

    def whole(self, number: int) -> bool:
        """Whether the chunk is finished and its segment is, byte for byte, what was written."""
        record, segment = self.record(number), self.segment(number)
        if record is None or not segment.is_file():
            return False
        return segment.stat().st_size == record.size_bytes and hash_file(segment) == record.sha256

    def forget(self, number: int) -> bool:
        """The chunk is to be made anew; tells whether there was anything of it."""
        found = self._record(number).exists() or self.segment(number).exists()
        with self._errors():
            self._record(number).unlink(missing_ok=True)
            self.segment(number).unlink(missing_ok=True)
        return found

    def clean(self) -> None:
        """Removes what killed processes left half-written. Only under the lock."""
        with self._errors():
            for pattern in ("part_*", "*.new"):
                for path in self.path.glob(pattern):
                    path.unlink(missing_ok=True)

    def is_fresh(self) -> bool:
        """Whether nothing is in it: it is not there, or its process was killed before it had written the manifest."""
        return not any(path.name != self.lock.name and path.suffix != ".new" for path in self.path.glob("*"))

    def place(self, joined: Path, *, frames: int, overwrite: bool) -> None:
        """The joined file becomes the output, and the folder says so."""
        with self._errors():
            _sync(joined)
            if self.out.exists() and not overwrite:
                raise SinkError(f"{self.out} exists by now: move it away or allow it with --overwrite, and resume")
            self._write(self.path / "done.json", json.dumps({"frames": frames, "sha256": hash_file(joined)}) + "\n")
            joined.replace(self.out)
            _sync(self.out.parent)

    def placed(self) -> int | None:
        """The output's frames if it is already there, and only the folder has not been removed; else None."""
        try:
            done = json.loads((self.path / "done.json").read_text(encoding="utf-8"))
            return int(done["frames"]) if hash_file(self.out) == done["sha256"] else None
        except (OSError, ValueError, KeyError, TypeError):  # no such record, or no such output: it is joined anew
            return None

    def remove(self) -> None:
        """Removes the folder; what says that the output is there goes last."""
        with self._errors():
            for path in self.path.iterdir():
                if path.name != "done.json":
                    path.unlink()
            shutil.rmtree(self.path)

    def _record(self, number: int) -> Path:
        return self.path / f"chunk_{number:05d}.json"

    def _numbers(self) -> list[int]:
        names = (path.stem.removeprefix("chunk_") for path in self.path.glob("chunk_*.json"))
        return [int(name) for name in names if name.isdecimal()]

    def _write(self, path: Path, text: str) -> None:
        new = path.with_name(path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync(self.path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, SinkError):
                raise
            raise SinkError(
                f"cannot write {error.filename or self.path}: {error.strerror}; what is finished is kept, free some "
                "space or restore the rights and resume"
            ) from error


def _sync(path: Path) -> None:
    """Returns once the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
