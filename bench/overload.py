"""`python -m bench overload`: a camera twice as fast as the pipeline, for minutes: nothing may grow.

The engines are simulated, everything else is real: threads, queues, the drop policy, calibration, the profiler. Looked
at are the p99 of end to end by minute, the fullest that each queue was, and the resident memory.
"""

from __future__ import annotations

import argparse
import time
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import walker
from bench.camera import Camera
from bench.resident import resident_megabytes
from tpc_stream.drop_policy import POLICIES, DropPolicy
from tpc_stream.flow import note_flow
from tpc_stream.frame import Frame
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler, Session
from tpc_stream.writing.steady import DeliveryReport

FLAT = 1.1
"""The last part's p99 is at most so many times the second's; the first holds the start."""
MOST_GROWTH_MB = 10.0
"""From the second part to the last. The recorder fills its bounded columns, some 3 MB, in the first 8,192 frames; a
single frame that is kept for each that is made would be hundreds."""


@dataclass(frozen=True, slots=True)
class Part:
    """A minute of the run, or another equal part of it."""

    frames: int
    p50_ms: float
    p99_ms: float
    """Of end to end."""
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Load:
    """What became of a run under load."""

    parts: tuple[Part, ...]
    dropped: int
    captured: int
    depths: dict[str, int]
    """By queue: most frames that lay in it when somebody came for one."""
    chunk: int
    session: Session

    @property
    def growth(self) -> float:
        """p99 of the last part over that of the second; 1 is flat."""
        return self.parts[-1].p99_ms / self.parts[1].p99_ms

    @property
    def more_mb(self) -> float:
        """Resident memory of the last part less that of the second."""
        return self.parts[-1].resident_mb - self.parts[1].resident_mb

    def failures(self, *, flat: float = FLAT, most_growth_mb: float = MOST_GROWTH_MB) -> list[str]:
        """What grew that must not, in words; nothing where all held."""
        found = []
        if not self.growth <= flat:
            found.append(f"p99 grew {self.growth:.2f} times from the second part to the last, {flat:g} is allowed")
        found += [
            f"{depth} frames lay in the queue {name}, {2 * self.chunk} are allowed"
            for name, depth in self.depths.items()
            if depth > 2 * self.chunk
        ]
        if self.more_mb > most_growth_mb:
            found.append(f"memory grew by {self.more_mb:.1f} MB, {most_growth_mb:g} are allowed")
        return found


def overload(animator: Animator, *, rate: Fraction, seconds: float, parts: int, drop: DropPolicy = "latest") -> Load:
    """Lets the camera run for so long. The animator's pose stage is `walker.poses`; its reference is replaced.

    `parts`: 3 or more, equal in time.
    """
    animator.portrait = walker.portrait(animator.plan.canvas)
    profiler = animator.profiler = Profiler()
    done, latency = array("d"), array("d")
    resident: list[float] = []

    def frames() -> Iterator[Frame]:
        given = walker.pictures(animator.plan.canvas, rate=rate)
        return takewhile(lambda frame: frame.pts_seconds < seconds, given)

    with closing(Camera(frames(), drop=drop, profiler=profiler)) as camera:
        profiler.start()
        began = 0.0
        with closing(animator.animate(camera)) as made:
            for frame in made:
                now = time.perf_counter()
                began = began or now
                if now - began >= seconds:
                    break  # under the policy "none" as many frames wait by now as were made
                profiler.frame_done(frame.index, frame.captured_seconds)
                done.append(now - began)
                latency.append(1e3 * (now - frame.captured_seconds))
                while now - began >= (len(resident) + 1) * seconds / parts:
                    resident.append(resident_megabytes())
        resident += [resident_megabytes()] * (parts - len(resident))
        note_flow(profiler, camera.report, DeliveryReport(), live=True)
        session = profiler.session(fps=float(rate))
        place = np.minimum((np.array(done) * parts / seconds).astype(int), parts - 1)
        return Load(
            parts=tuple(_part(np.array(latency)[place == k], resident[k]) for k in range(parts)),
            dropped=len(camera.report.dropped),
            captured=camera.report.captured,
            depths={queue.name: queue.max_depth for queue in session.queues},
            chunk=animator.plan.new_frames,
            session=session,
        )


def _part(latency: np.ndarray, resident: float) -> Part:
    if not len(latency):
        return Part(0, np.inf, np.inf, resident)  # nothing came out: as late as can be
    p50, p99 = np.percentile(latency, [50, 99])
    return Part(len(latency), float(p50), float(p99), resident)


def describe(load: Load, unit: str) -> Table:
    table = Table(title="Under twice the load", title_justify="left")
    for column in (unit, "frames", "p50 ms", "p99 ms", "resident MB"):
        table.add_column(column, justify="right")
    for number, part in enumerate(load.parts, start=1):
        row = (part.frames, f"{part.p50_ms:.0f}", f"{part.p99_ms:.0f}", f"{part.resident_mb:.1f}")
        table.add_row(str(number), *map(str, row))
    return table


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench overload", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=10, help="3 or more")
    parser.add_argument("--bundle", default="mannequin", help="whose shapes the graphs have")
    parser.add_argument("--pass-ms", type=float, default=25.0, help="a denoiser pass, and a quarter of it to decode")
    parser.add_argument("--schedule", choices=("window", "diagonal"), default="diagonal")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=None)
    parser.add_argument("--drop", choices=POLICIES, default="latest")
    choices = parser.parse_args(argv)
    if choices.minutes < 3:
        parser.error(f"three minutes at least, so that the last can be held against the second, got {choices.minutes}")
    options = AnimateOptions(
        bundle=choices.bundle,
        backend=f"simulated:denoise={choices.pass_ms:g},decode={choices.pass_ms / 4:g}",
        schedule=choices.schedule,
        steps=choices.steps,
        chunk=choices.chunk,
    )
    with Animator(options, pose_stage=walker.poses) as animator:
        rate = twice(animator, choices.pass_ms)
        load = overload(animator, rate=rate, seconds=60.0 * choices.minutes, parts=choices.minutes, drop=choices.drop)
    console = Console()
    console.print(describe(load, "minute"))
    depths = ", ".join(f"{name} {depth}" for name, depth in load.depths.items())
    failures = load.failures()
    for line in (
        f"{float(rate):.1f} frames/s came, {load.session.fps:.1f} were made, {load.dropped} of {load.captured} dropped",
        f"p99 of the last minute over the second: {load.growth:.3f}; memory {load.more_mb:+.1f} MB; "
        f"most frames in a queue: {depths} (a chunk is {load.chunk})",
        *(f"FAILED: {failure}" for failure in failures),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 1 if failures else 0


def twice(animator: Animator, pass_ms: float) -> Fraction:
    """Twice the frames a second that the simulated passes alone would allow; decoding goes on beside them."""
    plan = animator.plan
    passes = plan.denoise.steps if plan.denoise.schedule == "window" else 1
    return Fraction(round(2e6 * plan.new_frames / (pass_ms * passes)), 1000)
