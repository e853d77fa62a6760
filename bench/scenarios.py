"""What is measured, and how frames are offered: one by one, at a camera's pace, or as fast as they are taken.

SingleStream: a chunk is offered when the one before has come out. A chunk is what a window adds, or what enters the
    diagonal, since no fewer frames can leave; as many lie ready as must be inside before one leaves. Its latency is
    from the last offer until the frames that this offer releases are encoded. Figure: p90.
Live: a camera's frames at a rate, through the real queue with its drop policy. A frame's capture is the time at which
    it was due, also where it was taken later, so that overload shows as latency and is not hidden. Figure: p99 of end
    to end, and misses.
Offline: all frames are there at once. Figure: frames per second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from bench.camera import Camera
from bench.early_stopping import LEAST_SAMPLES, estimate
from bench.results import Result
from tpc_stream.drop_policy import DropPolicy
from tpc_stream.flow import note_flow
from tpc_stream.frame import AnimatedFrame, Frame
from tpc_stream.motion import Motion
from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.writing.steady import DeliveryReport

Scenario = Literal["single", "live", "offline"]
PERCENTILES: dict[Scenario, float] = {"single": 0.90, "live": 0.99, "offline": 0.50}
CHECK_EVERY = 8
"""Samples between two looks at whether they are enough."""


def there_and_back(clip: Sequence[Frame], *, rate: float) -> Iterator[tuple[int, Frame]]:
    """The clip forwards and backwards without end, so that no jump is seen; with its place, and new times."""
    order = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
    index = 0
    while True:
        for place in order:
            yield index, replace(clip[place], index=index, pts_seconds=index / Fraction(rate).limit_denominator(1001))
            index += 1


def single_stream(
    animator: Animator, clip: Sequence[Frame], folder: Path, *, rate: float, max_seconds: float, name: str
) -> Result:
    """One chunk after the other, until p90 is sure or the time is over."""
    plan = animator.plan
    offer = threading.Semaphore(0)
    offered: list[float] = []
    latencies: list[float] = []
    over = threading.Event()

    def driving() -> Iterator[Frame]:
        for index, frame in there_and_back(clip, rate=rate):
            if (index - plan.denoise.overlap) % plan.new_frames == 0 or index == 0:
                wait(animator.profiler, "next chunk", offer.acquire)
                if over.is_set():
                    return
            yield replace(frame, captured_seconds=time.perf_counter())

    def offer_next() -> None:
        offered.append(time.perf_counter())
        offer.release()

    def sink(frames: Iterator[AnimatedFrame], profiler: Profiler) -> None:
        began = time.perf_counter()
        taken = 0
        for frame in frames:
            profiler.frame_done(frame.index, frame.captured_seconds)
            taken += 1
            if taken % plan.new_frames == 0 and not over.is_set():
                latencies.append(1e3 * (time.perf_counter() - offered[-1]))
                late = time.perf_counter() - began > max_seconds and len(latencies) >= LEAST_SAMPLES
                if late or (len(latencies) % CHECK_EVERY == 0 and estimate(latencies, 0.90).enough):
                    over.set()
                offer_next()

    # Nothing leaves before a window with its overlap, or the diagonal, is full.
    for _ in range(plan.delay_frames // plan.new_frames + 1):
        offer_next()
    profiler = _run(animator, driving(), folder, rate, sink)
    return Result.of("single", name, profiler.session(), latencies, 0.90, per_sample=plan.new_frames)


def live(
    animator: Animator,
    clip: Sequence[Frame],
    folder: Path,
    *,
    rate: float,
    max_seconds: float,
    name: str,
    drop: DropPolicy = "none",
) -> Result:
    """At `rate` frames per second, until p99 is sure or the time is over."""
    latencies: list[float] = []
    over = threading.Event()

    def driving() -> Iterator[Frame]:
        for index, frame in there_and_back(clip, rate=rate):
            if over.is_set() or (index / rate > max_seconds and index >= LEAST_SAMPLES):
                return
            yield frame

    def sink(frames: Iterator[AnimatedFrame], profiler: Profiler) -> None:
        for frame in frames:
            latencies.append(1e3 * (time.perf_counter() - frame.captured_seconds))
            profiler.frame_done(frame.index, frame.captured_seconds)
            if len(latencies) % CHECK_EVERY == 0 and estimate(latencies, 0.99).enough:
                over.set()

    profiler = animator.profiler = Profiler()
    with closing(Camera(driving(), drop=drop, profiler=profiler)) as camera:
        _run(animator, camera, folder, rate, sink, profiler=profiler)
        note_flow(profiler, camera.report, DeliveryReport(), live=True)
    return Result.of("live", name, profiler.session(fps=rate), latencies, 0.99, rate=rate)


def offline(animator: Animator, clip: Sequence[Frame], folder: Path, *, rate: float, name: str) -> Result:
    """The clip once, and again until there are enough samples."""
    latencies: list[float] = []
    count = max(len(clip), LEAST_SAMPLES)

    def driving() -> Iterator[Frame]:
        for index, frame in there_and_back(clip, rate=rate):
            if index == count:
                return
            yield replace(frame, captured_seconds=time.perf_counter())

    def sink(frames: Iterator[AnimatedFrame], profiler: Profiler) -> None:
        for frame in frames:
            profiler.frame_done(frame.index, frame.captured_seconds)
            latencies.append(1e3 * (time.perf_counter() - frame.captured_seconds))

    profiler = _run(animator, driving(), folder, rate, sink)
    return Result.of("offline", name, profiler.session(fps=rate), latencies, 0.50)


def wait(profiler: Profiler, name: str, until: Callable[[], object]) -> None:
    """Waits, and says so: it is nobody's work."""
    began = profiler.clock()
    until()
    profiler.waited(name, began, profiler.clock())


def _run(
    animator: Animator,
    driving: Iterator[Frame] | Motion,
    folder: Path,
    rate: float,
    sink: Callable[[Iterator[AnimatedFrame], Profiler], None],
    *,
    profiler: Profiler | None = None,
) -> Profiler:
    """From the offered frames to an encoded file, recorded by a fresh profiler."""
    profiler = animator.profiler = profiler or Profiler()
    config = SinkConfig(frame_rate=Fraction(rate).limit_denominator(1001))
    writing = partial(write_video, path=folder / "bench.mp4", config=config)
    profiler.start()
    sink(profiler.stage("encode", writing, animator.animate(driving), codec=True), profiler)
    return profiler
