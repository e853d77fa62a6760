"""A small job that needs no pose model: what the tests of long videos share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import walker
from tpc_stream.job.events import ChunkFinished, Event, Finished
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.run_job import JobConfig, resume_job, run_job
from tpc_stream.job.spec import JobSpec, make_spec
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions
from tpc_stream.source import read_frames


def job_spec(
    tiny: Path, reference: Path, motion: Path, out: Path, *, chunk_seconds: float = 0.32, seed: int = 3, **ours: Any
) -> JobSpec:
    """The demo's first 28 frames on the tiny bundle, in chunks of 8 frames."""
    options = AnimateOptions(bundle=tiny, steps=2, seed=seed, size=(96, 96), max_frames=28, threads=1)
    outputs = OutputOptions(path=str(out), sheet=False, report=False)
    return make_spec(reference, motion, replace(outputs, **ours), options, chunk_seconds=chunk_seconds)


def run_alone(spec: JobSpec, *, keep: bool = False) -> list[Event]:
    """In this process, with people who walk by the index of the frame."""
    return list(run_job(spec, config=JobConfig(keep=keep, pose_stage=walker.poses)))


def run_until(spec: JobSpec, finished: int) -> JobFolder:
    """Stops, as Ctrl-C does, once so many chunks are finished."""
    events = run_job(spec, config=JobConfig(pose_stage=walker.poses))
    for event in events:
        finished -= isinstance(event, ChunkFinished)
        if not finished:
            break
    events.close()
    return JobFolder.of(spec.outputs.path)


@contextmanager
def known_person() -> Iterator[None]:
    """Finding somebody in a picture takes a second, in each of these runs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "tpc_stream.pipeline.prepare_portrait",
            lambda *_, width, height, **__: walker.portrait((width, height)),
        )
        yield


def never_interrupted(tiny: Path, reference: Path, motion: Path, out: Path) -> Path:
    """The job in four chunks; lossless, so that its pictures are the network's."""
    events = run_alone(job_spec(tiny, reference, motion, out, codec="ffv1"))
    assert made(events) == [0, 1, 2, 3] and not Path(f"{out}.tpc").exists()
    assert isinstance(events[-1], Finished) and events[-1].frames == 28
    return out


def resumed(folder: JobFolder) -> list[int]:
    """The chunks that were still to be made."""
    return made(list(resume_job(folder, config=JobConfig(pose_stage=walker.poses))))


def made(events: list[Event]) -> list[int]:
    """The chunks that were made, in that order."""
    return [event.chunk for event in events if isinstance(event, ChunkFinished)]


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    return [frame.image for frame in read_frames(path)]


def same(one: Path, other: Path) -> bool:
    """Whether two videos have the same pictures, bit for bit."""
    ours, theirs = pictures(one), pictures(other)
    return len(ours) == len(theirs) > 0 and all(map(np.array_equal, ours, theirs))
