"""A job from its beginning, or from where it was left, to its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from tpc_stream.errors import InputError
from tpc_stream.job.alone import make_alone
from tpc_stream.job.crew import Crew, make_together
from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.devices import uses_gpu
from tpc_stream.job.events import Event, Finished, Joining, Recut, Started
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.joining import check_joined, join_segments
from tpc_stream.job.lock import locked
from tpc_stream.job.segment_maker import SegmentMaker
from tpc_stream.job.spec import JobSpec, make_spec
from tpc_stream.reading.source_info import exact_seconds
from tpc_stream.relay import PoseStage
from tpc_stream.writing.faststart import join_fragments
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.video_formats import container_of

_log = logging.getLogger(__name__)
_WHOLE = -1
"""The number of the part that is the joined video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """How a job is worked on; none of it changes a pixel."""

    workers: int = 1
    """Processes, each with its own engines; 1: this one does it all."""
    retries: int = 2
    """How often a chunk is begun anew whose worker died."""
    devices: tuple[str, ...] = ()
    """GPUs, each for a worker of its own; with more workers they share them. Empty: whatever is visible."""
    crew: Crew | None = None
    """Who makes the chunks instead of processes on this machine."""
    keep: bool = False
    """Leave the folder there when the output is done."""
    pose_stage: PoseStage | None = None
    """See `Animator`; in this process only."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.retries < 0:
            raise InputError(f"workers are 1 or more and retries 0 or more, got {self.workers} and {self.retries}")
        if self.workers < len(self.devices):
            raise InputError(f"there are {len(self.devices)} devices for {self.workers} workers: one each at least")
        if self.apart and self.pose_stage is not None:
            raise InputError("a pose stage of your own cannot be sent to workers: use one worker")

    @property
    def apart(self) -> bool:
        """Whether other processes do the work."""
        return self.workers > 1 or bool(self.devices) or self.crew is not None

    def threads(self, asked: int) -> int:
        """Of each engine: what was asked for, or the cores shared among the workers."""
        if asked or self.workers == 1:
            return asked
        return max(1, len(os.sched_getaffinity(0)) // self.workers)


def run_job(spec: JobSpec, *, config: JobConfig | None = None) -> Generator[Event, None, None]:
    """Makes the job's output, beginning with what its folder holds already; yields what happens.

    Closing it, or Ctrl-C, keeps the finished chunks. Raises InputError where the folder holds another job or another
    process works on it; whatever a chunk raises; SinkError where the disk is full.
    """
    config = config or JobConfig()
    if config.devices and not uses_gpu(spec.options.backend):
        raise InputError(
            f"--devices are GPUs, the backend {spec.options.backend} computes on the CPU: leave them out, or choose "
            "another --backend, such as onnxrt:cuda"
        )
    folder = JobFolder.of(spec.outputs.path)
    if folder.is_fresh():
        spec.outputs.check(inputs=[spec.reference, spec.motion])
        folder.create(spec)
    with locked(folder.lock, workers=config.workers) as left_behind:
        if left_behind:
            _log.info("the process that worked on %s ended early; its finished chunks are used", folder.path)
        if (frames := folder.placed()) is not None:
            yield _already(folder, frames, keep=config.keep)
            return
        folder.clean()
        yield from _work(folder, _settled(folder, spec), config)


def resume_job(folder: JobFolder, *, config: JobConfig | None = None) -> Generator[Event, None, None]:
    """Goes on with the job in a folder. Raises InputError where its input, bundle or versions changed; as `run_job`."""
    config = config or JobConfig()
    if (frames := folder.placed()) is not None:  # its manifest may be gone: it was killed while it removed the folder
        with locked(folder.lock, workers=1):
            yield _already(folder, frames, keep=config.keep)
        return
    before = folder.read()
    outputs = replace(before.outputs, path=str(folder.out))  # it may lie elsewhere by now, or this process does
    now = make_spec(before.reference, before.motion, outputs, before.options, chunk_seconds=before.chunk_seconds)
    yield from run_job(now, config=config)


def _already(folder: JobFolder, frames: int, *, keep: bool) -> Finished:
    """The output is there, and only the folder was left."""
    if not keep:
        folder.remove()
    return Finished(str(folder.out), frames, 0.0)


def _settled(folder: JobFolder, spec: JobSpec) -> JobSpec:
    """The job as its folder tells it, which may have been cut otherwise on the way."""
    before = folder.read()
    before.check_same(spec)
    return replace(before, outputs=spec.outputs)


def _work(folder: JobFolder, spec: JobSpec, config: JobConfig) -> Iterator[Event]:
    try:
        yield from _make_missing(folder, spec, config)
    except IndexMismatchError as error:
        if not spec.chunks[0].exact:
            raise
        spec = spec.in_one(str(error))
        folder.clean()
        folder.create(spec)
        yield Recut(str(error))
        yield from _make_missing(folder, spec, config)
    yield Joining(len(spec.chunks))
    yield _joined(folder, spec, keep=config.keep)


def _make_missing(folder: JobFolder, spec: JobSpec, config: JobConfig) -> Iterator[Event]:
    missing = _missing(folder, spec)
    finished = sum(len(chunk.frames) for chunk in spec.chunks) - sum(len(chunk.frames) for chunk in missing)
    workers = min(config.workers, max(1, len(missing)))
    yield Started(len(spec.chunks), len(spec.chunks) - len(missing), spec.frames, finished, workers)
    threads = config.threads(spec.options.threads)
    if config.apart and missing:
        make = config.crew or make_together
        yield from make(
            folder, missing, workers=workers, threads=threads, retries=config.retries, devices=config.devices
        )
    elif missing:
        with SegmentMaker(spec, threads=threads, pose_stage=config.pose_stage) as maker:
            yield from make_alone(folder, maker, missing)


def _missing(folder: JobFolder, spec: JobSpec) -> list[JobChunk]:
    """The chunks that are to be made; what is left of damaged ones is removed, and told."""
    missing = [chunk for chunk in spec.chunks if not folder.whole(chunk.number)]
    for chunk in missing:
        had_record = folder.record(chunk.number) is not None
        if folder.forget(chunk.number) and had_record:
            _log.warning("%s is damaged or gone: chunk %d is made anew", folder.segment(chunk.number), chunk.number)
    return missing


def _joined(folder: JobFolder, spec: JobSpec, *, keep: bool) -> Finished:
    part, outputs = folder.part(_WHOLE), spec.outputs
    segments = [folder.segment(chunk.number) for chunk in spec.chunks]
    joined = join_segments(segments, part, sound=_sound(spec))
    if outputs.faststart and container_of(part).fragmented:
        join_fragments(part)
    check_joined(part, joined)
    folder.place(part, frames=joined.frames, overwrite=outputs.overwrite)
    if not keep:
        folder.remove()
    return Finished(str(folder.out), joined.frames, float(joined.end_seconds - joined.first_seconds))


def _sound(spec: JobSpec) -> SoundSource | None:
    if not spec.outputs.sound or not spec.audio_streams:
        return None
    options, origin = spec.options, spec.origin_seconds
    end = None if options.end_seconds is None else origin + exact_seconds(options.end_seconds)
    start: Fraction = origin + exact_seconds(options.start_seconds)
    return SoundSource(spec.motion, track=spec.outputs.audio_track, start_seconds=start, end_seconds=end)
