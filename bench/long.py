"""`python -m bench long`: an hour of video through simulated engines: memory must not follow the length.

Frames are made up, the pose stage and the engines are stand-ins; queues, calibration, profiler and encoder are real.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from bench import walker
from bench.resident import resident_megabytes, slope
from tpc_stream.calibration_record import CalibrationRecord
from tpc_stream.frame import AnimatedFrame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler
from tpc_stream.recording.series import MAX_VALUES
from tpc_stream.sink import SinkConfig, write_video

MOST_MB = 0.1
"""For every 1,000 frames."""
RATE = Fraction(30000, 1001)


@dataclass(frozen=True, slots=True)
class Growth:
    """Resident memory while frames came out."""

    frames: tuple[int, ...]
    megabytes: tuple[float, ...]
    seconds: float
    """That the run took."""

    def slope(self, *, first: int) -> float:
        """Megabytes for every 1,000 frames, from frame `first` on."""
        kept = [(k, mb) for k, mb in zip(self.frames, self.megabytes, strict=True) if k >= first]
        return slope([k for k, _ in kept], [mb for _, mb in kept])


def grow(
    animator: Animator,
    path: Path,
    *,
    frames: int,
    sample_every: int,
    profiler: Profiler | None = None,
    each: Callable[[AnimatedFrame], object] = lambda frame: None,
) -> Growth:
    """Animates so many frames to a file at `path`, as a run does. The animator's pose stage is `walker.poses`.

    profiler: None: one as every run has it. each: called with every frame that comes out.
    """
    animator.portrait = walker.portrait(animator.plan.canvas)
    profiler = animator.profiler = profiler or Profiler()
    driving = walker.pictures(animator.plan.canvas, rate=RATE, frames=frames)
    writing = partial(write_video, path=path, config=SinkConfig(frame_rate=RATE))
    places: list[int] = []
    megabytes: list[float] = []
    began = time.perf_counter()
    profiler.start()
    for frame in profiler.stage("encode", writing, animator.animate(driving), codec=True):
        profiler.frame_done(frame.index, frame.captured_seconds)
        profiler.frame_record(frame.index, **CalibrationRecord.of(frame.source).columns())
        each(frame)
        if frame.index % sample_every == 0:
            places.append(frame.index)
            megabytes.append(resident_megabytes())
    return Growth(tuple(places), tuple(megabytes), time.perf_counter() - began)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench long", description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=90_000)
    parser.add_argument("--bundle", default="mannequin", help="whose shapes the graphs have")
    parser.add_argument("--schedule", choices=("window", "diagonal"), default="window")
    parser.add_argument("--steps", type=int, default=None)
    choices = parser.parse_args(argv)
    first = 2 * MAX_VALUES  # by then the recorder has what it will ever have, and has halved it once
    if choices.frames < 2 * first:
        parser.error(f"{2 * first} frames at least: the recorder is full after {first}; got {choices.frames}")
    options = AnimateOptions(bundle=choices.bundle, backend="simulated", schedule=choices.schedule, steps=choices.steps)
    with tempfile.TemporaryDirectory() as folder, Animator(options, pose_stage=walker.poses) as animator:
        made = grow(animator, Path(folder) / "long.mp4", frames=choices.frames, sample_every=500)
    found = made.slope(first=first)
    at_first = made.megabytes[made.frames.index(min(k for k in made.frames if k >= first))]
    print(
        f"{choices.frames} frames in {made.seconds:.0f} s ({choices.frames / made.seconds:.0f} a second); resident "
        f"{made.megabytes[0]:.1f} MB at the first frame, {at_first:.1f} at frame {first}, {made.megabytes[-1]:.1f} at "
        f"the last\nslope from frame {first} on: {found:+.4f} MB for every 1,000 frames, {MOST_MB:g} are allowed"
    )
    return 0 if found < MOST_MB else 1
