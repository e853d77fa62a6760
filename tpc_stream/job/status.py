"""How far a job is, read off its folder while whoever works on it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from tpc_stream.job.folder import ChunkRecord, JobFolder
from tpc_stream.job.lock import holder
from tpc_stream.progress import status_line

RECENT_CHUNKS = 8
"""The speed is that of so many chunks that were finished last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far a job is."""

    chunks: int
    finished_chunks: int
    frames: int
    finished_frames: int
    frames_per_second: float | None
    """Of all workers together; None before the first chunk."""
    running: bool
    """Whether a process works on it now."""
    pid: int | None
    trouble: str
    """Why the video is not cut; empty: it is."""

    def describe(self) -> list[str]:
        """Lines for people."""
        who = (
            f"process {self.pid} works on it"
            if self.running
            else "nobody works on it: tpc-stream resume goes on, and makes unfinished chunks again"
        )
        lines = [
            f"{self.finished_chunks}/{self.chunks} chunks, "
            + status_line(self.finished_frames, self.frames, self.frames_per_second),
            who,
        ]
        return lines + ([f"made in one chunk: {self.trouble}"] if self.trouble else [])


def job_status(folder: JobFolder) -> JobStatus:
    """Raises InputError where the folder holds no job. Segments are not read, so damage in them is not seen."""
    spec, owner = folder.read(), holder(folder.lock)
    records = {chunk.number: folder.record(chunk.number) for chunk in spec.chunks}
    finished = [record for record in records.values() if record is not None]
    workers = _number((owner or {}).get("workers")) or 1
    return JobStatus(
        chunks=len(spec.chunks),
        finished_chunks=len(finished),
        frames=spec.frames,
        finished_frames=sum(record.frames for record in finished),
        frames_per_second=_speed(finished, workers),
        running=owner is not None,
        pid=_number((owner or {}).get("pid")),
        trouble=spec.trouble,
    )


def _speed(finished: list[ChunkRecord], workers: int) -> float | None:
    recent = sorted(finished, key=lambda record: record.finished)[-RECENT_CHUNKS:]
    seconds = sum(record.seconds for record in recent)
    return workers * sum(record.frames for record in recent) / seconds if seconds > 0 else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
