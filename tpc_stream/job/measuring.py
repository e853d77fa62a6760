"""What one worker costs on this machine: the real engines on frames of the video, decoded and encoded, for seconds."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

from tpc_stream.errors import InputError
from tpc_stream.forecast import Forecast, forecast
from tpc_stream.frame import Frame
from tpc_stream.job.spec import DEFAULT_RATE
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.pose import estimate_poses
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import SourceInfo, read_frames

MEASURED_SECONDS = 6.0
"""Of feeding frames: three times a forecast's, as hours are going to be planned by it."""
_MOST_FRAMES = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One worker, alone on the machine."""

    frames: int
    """That it was measured on."""
    cores: int
    """That this process may use."""
    threads: int
    """Of an engine; 0: all cores."""
    cpu_ms: float
    """CPU time a frame, reading and writing included."""
    wall_ms: float
    """Time from one frame to the next."""
    analysis_share: float
    """Of the work on a frame: poses and calibrations, which a cut repeats for the frames around it."""
    network_share: float
    """Conditioning, denoising and decoding, which overlapping windows repeat at a cut."""
    tracker_cpu_seconds: float
    """To begin a tracker: a cut begins one."""
    slowest: str
    """The stage whose thread has the most work a frame."""
    start_seconds: float
    """From an empty process to the first frame."""
    start_cpu_seconds: float
    memory_mb: float
    """Peak of a worker."""
    parent_mb: float
    """Of the process that hands out the chunks, where there are several workers."""
    bytes_per_frame: float
    """Of the output's pictures."""


def measure(
    reference: str | Path,
    motion: str | Path,
    options: AnimateOptions,
    *,
    info: SourceInfo,
    seconds: float,
) -> Measured:
    """Animates frames from the middle of the video for about so long, as a worker would, and throws them away.

    Raises as `Animator` does, and SourceError.
    """
    parent, worked, began = _peak_mb(), time.process_time(), time.perf_counter()
    length = info.duration_seconds or Fraction(0)
    with tempfile.TemporaryDirectory(prefix="tpc-stream-") as folder, Animator(options) as animator:
        animator.set_reference(reference)
        start_seconds, start_cpu = time.perf_counter() - began, time.process_time() - worked
        path = Path(folder) / "piece.mp4"
        writing = partial(write_video, path=path, config=SinkConfig(frame_rate=DEFAULT_RATE))
        # from the middle, where people are that may not have come yet at the start
        frames = read_frames(motion, start_seconds=length / 2 if length > 2 * seconds else 0)
        with closing(frames):
            found = forecast(animator, seconds=seconds, pictures=islice(frames, _MOST_FRAMES), writing=writing)
        written = path.stat().st_size
        tracker = _tracker_seconds(animator)
    return Measured(
        frames=found.frames,
        cores=len(os.sched_getaffinity(0)),
        threads=options.threads,
        cpu_ms=found.cpu_ms,
        wall_ms=1e3 / found.fps,
        analysis_share=_share(found, ("fit", "pose", "calibrate")),
        network_share=_share(found, ("condition", "denoise", "decode")),
        tracker_cpu_seconds=tracker,
        slowest=_slowest(found),
        start_seconds=start_seconds,
        start_cpu_seconds=start_cpu,
        memory_mb=found.memory_mb,
        parent_mb=parent,
        bytes_per_frame=written / max(found.frames, 1),
    )


def _tracker_seconds(animator: Animator) -> float:
    """CPU time of a tracker's start with its first picture, less that of its second."""
    if animator.portrait is None:
        raise InputError("there is no reference yet: call set_reference() first")
    image, times = animator.portrait.image, [time.process_time()]
    for _ in estimate_poses(Frame(k, Fraction(k, 25), image, 0.0) for k in range(3)):
        times.append(time.process_time())
    return max(0.0, (times[1] - times[0]) - (times[2] - times[1]))


def _share(found: Forecast, stages: tuple[str, ...]) -> float:
    return sum(found.busy_ms.get(stage, 0.0) for stage in stages) / sum(found.busy_ms.values())


def _slowest(found: Forecast) -> str:
    work: dict[str, float] = {}
    for stage, busy in found.busy_ms.items():
        thread = found.threads[stage]
        work[thread] = work.get(thread, 0.0) + busy
    busiest = max(work, key=lambda thread: work[thread])
    return max((s for s in found.busy_ms if found.threads[s] == busiest), key=lambda stage: found.busy_ms[stage])


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
