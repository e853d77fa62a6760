"""What a long video will take, worked out from what one worker was measured to cost: hours, memory, disk, traffic."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from tpc_stream.errors import InputError
from tpc_stream.job.cutting import CutConfig, chunk_count
from tpc_stream.job.measuring import Measured
from tpc_stream.plan import Plan

WASTE = 0.1
"""A share of the workers' time that is worth being told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What there is to do."""

    frames: int
    rate: Fraction
    """Frames a second."""
    input_bytes: float
    """Of the driving video, or of so much of it."""
    bundle_bytes: int
    cut: CutConfig
    """With the length of the chunks; 0: all in one."""

    @property
    def chunks(self) -> int:
        return chunk_count(self.frames, self.cut.chunk_frames) if self.cut.chunk_frames else 1

    @property
    def looked_at_twice(self) -> int:
        """Frames before each cut whose poses are looked for by both chunks; a worker that goes on with the next chunk
        has that one's from crossing over to it."""
        return ceil(self.cut.warm_up_seconds * self.rate) + self.cut.made_twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who does it."""

    machines: int = 1
    """Each like the one that was measured."""
    workers: int = 1
    """On each."""

    def __post_init__(self) -> None:
        if self.machines < 1 or self.workers < 1:
            raise InputError(f"machines and workers are 1 or more, got {self.machines} and {self.workers}")

    @property
    def total(self) -> int:
        return self.machines * self.workers


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """What it takes."""

    frames: int
    video_seconds: float
    chunks: int
    chunk_seconds: float
    passes: int
    """Of the denoiser over a frame, those that cuts repeat included."""
    machines: int
    workers: int
    """On each machine."""
    cpu_hours: float
    """Of all cores of all machines."""
    wall_hours: float
    cut_share: float
    """Of the work: what cuts repeat."""
    memory_mb: float
    """Peak of a machine."""
    output_bytes: float
    disk_bytes: float
    """In the folder of the output at the most: the segments and the video that they are joined to."""
    moved_bytes: float
    """Over the network with `--store object`: the whole driving video and the bundle to every machine but the one
    where they lie, and the segments back to it."""
    shared_bytes: float
    """Over the network with `--store DIR`, a folder on one of the machines."""
    lost_seconds: float
    """Work of each worker, on average, at a kill."""
    limits: tuple[str, ...]
    """What sets the pace, first what matters most."""


def plan_job(task: Task, plan: Plan, measured: Measured, crew: Crew) -> JobPlan:
    """The arithmetic.

    A frame takes a worker what it took when measured alone, or longer where the machine's workers together have more
    work than it has cores. A chunk takes its frames and a cut; the last round of chunks may keep only some workers
    busy. Workers go on from chunk to chunk; that some begin elsewhere now and then is not in it, nor are disks and
    networks that cannot follow, machines that differ, retries.
    """
    chunks, used = task.chunks, min(crew.total, task.chunks)
    crowded = max(1.0, crew.workers * measured.cpu_ms / measured.cores / measured.wall_ms)
    frame_seconds = measured.wall_ms * crowded / 1e3
    cut_frames = (
        task.looked_at_twice * measured.analysis_share
        + task.cut.made_twice * measured.network_share
        + measured.tracker_cpu_seconds * 1e3 / measured.cpu_ms
    )
    all_frames = task.frames + (chunks - 1) * cut_frames
    length = min(task.cut.chunk_frames or task.frames, task.frames)
    chunk_seconds = (length + cut_frames * (chunks > 1)) * frame_seconds
    rounds = ceil(chunks / used)
    even = all_frames * frame_seconds / used
    start = measured.start_seconds * max(1.0, crew.workers / measured.cores)
    wall = start + (even if used == 1 else min(rounds * chunk_seconds, even + chunk_seconds))
    cpu = all_frames * measured.cpu_ms / 1e3 + used * measured.start_cpu_seconds
    output = task.frames * measured.bytes_per_frame
    away = 1 - 1 / crew.machines
    return JobPlan(
        frames=task.frames,
        video_seconds=float(task.frames / task.rate),
        chunks=chunks,
        chunk_seconds=float(length / task.rate),
        passes=round(task.frames * plan.passes_per_frame + (chunks - 1) * task.cut.made_twice * plan.passes_per_window),
        machines=crew.machines,
        workers=crew.workers,
        cpu_hours=cpu / 3600,
        wall_hours=wall / 3600,
        cut_share=1 - task.frames / all_frames,
        memory_mb=crew.workers * measured.memory_mb + (measured.parent_mb if crew.total > 1 else 0.0),
        output_bytes=output,
        disk_bytes=2 * output,
        moved_bytes=(crew.machines - 1) * (task.input_bytes + task.bundle_bytes) + away * output,
        shared_bytes=(crew.machines - 1) * task.bundle_bytes + away * (task.input_bytes + output),
        lost_seconds=chunk_seconds / 2,
        limits=_limits(measured, crew, chunks=chunks, rounds=rounds, start_share=start / wall),
    )


def _limits(measured: Measured, crew: Crew, *, chunks: int, rounds: int, start_share: float) -> tuple[str, ...]:
    found = []
    if chunks < crew.total:
        found.append(f"{chunks} chunk{'s' if chunks > 1 else ''} for {crew.total} workers: the others have nothing")
    elif 1 - chunks / (rounds * crew.total) > WASTE:
        idle = 1 - chunks / (rounds * crew.total)
        found.append(f"{chunks} chunks for {crew.total} workers: {idle:.0%} of their time is waiting for the last ones")
    if start_share > WASTE:
        found.append(f"starting the workers: {start_share:.0%} of the time")
    cores = crew.workers * measured.cpu_ms / measured.wall_ms
    if cores > (1 - WASTE) * measured.cores:
        found.append(
            f"the cores of each machine: a frame is {measured.cpu_ms:.0f} ms of CPU time, and {crew.workers} "
            f"worker{'s' if crew.workers > 1 else ''} would use {cores:.1f} of {measured.cores} cores"
        )
    else:
        found.append(
            f"the stage {measured.slowest} of each worker: {cores:.1f} of {measured.cores} cores of each machine are "
            "used, more workers would use more"
        )
    return tuple(found)
