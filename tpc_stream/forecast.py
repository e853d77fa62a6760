"""What a run will reach, measured before it starts: the real pipeline on the real engines for two seconds.

The driving frames are the reference's own picture, in which there surely is a person, so that nothing of a live source
is used up; or, to plan the work on a file, frames of that file. Reading the source and writing the output are not part
of it unless they are given; they cost a few milliseconds a frame.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from tpc_stream.bundle import Bundle
from tpc_stream.errors import InputError
from tpc_stream.frame import AnimatedFrame, Frame
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import Plan, make_plan
from tpc_stream.profile import Profiler, Session

if TYPE_CHECKING:
    from tpc_stream.pipeline import Animator

FORECAST_SECONDS = 2.0
"""Of feeding frames after the first window has come out, which warms everything up."""
PATIENCE = 4.0
"""A pipeline whose first window takes longer than this many times the seconds is judged by what came until then."""
MARGIN = 1.1
"""Real time needs a tenth more than the source's rate: decoding and encoding come on top, and machines are noisy."""

Alternative = tuple[str, Plan]
"""What to say on the command line, and what is then planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the calibration run measured."""

    frames: int
    """That the rate was measured on."""
    fps: float
    """Frames per second that the pipeline can give, without reading and writing."""
    cpu_ms: float
    """CPU time a frame of all threads of this process, the engines' included."""
    busy_ms: dict[str, float]
    """By stage: milliseconds of work a frame, while all stages share the machine."""
    threads: dict[str, str]
    """By stage: the thread that it runs in; the thread with the most work a frame sets the pace."""
    network_ms: float
    """Of the denoise stage: milliseconds a frame in its passes."""
    encode_ms: float
    """Of the condition stage: milliseconds a frame for encoding calibrated pictures and their features."""
    compute_ms: float
    """Mean time of a frame's way in stages that work on it or on its window; comes on top of the structural delay."""
    memory_mb: float
    """Peak of the process so far; nothing grows with a run's length."""

    def fps_with(self, plan: Plan, other: Plan) -> float:
        """About how many frames per second `other` would give, where this was measured with `plan`."""
        now = self._by_thread({})
        saved = {"denoise": self.network_ms * (1 - other.passes_per_frame / plan.passes_per_frame)}
        if plan.encodes_per_frame:
            saved["condition"] = self.encode_ms * (1 - other.encodes_per_frame / plan.encodes_per_frame)
        return self.fps * max(now.values()) / max(max(self._by_thread(saved).values()), 1e-9)

    def _by_thread(self, saved: dict[str, float]) -> dict[str, float]:
        """Milliseconds of work a frame by thread, less what stages are spared."""
        work = dict.fromkeys(self.threads.values(), 0.0)
        for stage, busy in self.busy_ms.items():
            work[self.threads[stage]] += max(busy - saved.get(stage, 0.0), 0.0)
        return work

    def describe(self, plan: Plan, rate: Fraction | None, others: Sequence[Alternative]) -> list[str]:
        """Lines for people: what was measured, and where real time is not possible, which others would make it so."""
        stages = ", ".join(f"{name} {busy:.1f}" for name, busy in self.busy_ms.items() if busy >= 0.5)
        lines = [
            f"measured on {self.frames} frames: about {self.fps:.1f} frames/s before reading and writing; "
            f"milliseconds a frame: {stages}; peak memory so far {self.memory_mb:.0f} MB"
        ]
        if not rate:
            return lines
        delay = plan.delay_seconds(rate) or 0.0
        if self.fps >= MARGIN * rate:
            return [
                *lines,
                f"real time at {float(rate):g} frames/s is possible; end to end about {self.compute_ms / 1e3:.2f} s "
                f"and up to {delay:.2f} s of structural delay",
                *self._sooner(plan, rate, others),
            ]
        return [*lines, *self._warning(plan, rate, others)]

    def _sooner(self, plan: Plan, rate: Fraction, others: Sequence[Alternative]) -> list[str]:
        """What would make the delay shorter and keep real time possible."""
        found = [
            f"{words} ({other.delay_seconds(rate) or 0.0:.2f} s, about {self.fps_with(plan, other):.1f} frames/s)"
            for words, other in others
            if other.denoise.schedule != plan.denoise.schedule
            and other.delay_frames < plan.delay_frames
            and self.fps_with(plan, other) >= MARGIN * float(rate)
        ]
        return ["what would make the structural delay shorter: " + ", ".join(found)] if found else []

    def _warning(self, plan: Plan, rate: Fraction, others: Sequence[Alternative]) -> list[str]:
        target = MARGIN * float(rate)
        changes = [(words, self.fps_with(plan, other)) for words, other in others]
        enough = [f"{words} (about {fps:.1f} frames/s)" for words, fps in changes if fps >= target]
        enough.append(f"a source of at most {self.fps / MARGIN:.1f} frames/s")
        lines = [
            f"warning: real time is not possible: the source gives {float(rate):g} frames/s, "
            f"about {self.fps:.1f} can be made of it; frames that come too fast will be dropped, or wait",
            "what would make it possible: " + ", or ".join(enough),
        ]
        helps = [f"{words} (about {fps:.1f})" for words, fps in changes if self.fps * 1.02 < fps < target]
        return [*lines, "what would help but not suffice: " + ", ".join(helps)] if helps else lines


def forecast(
    animator: Animator,
    *,
    seconds: float = FORECAST_SECONDS,
    pictures: Iterable[Frame] | None = None,
    writing: Callable[[Iterable[AnimatedFrame]], Iterator[AnimatedFrame]] | None = None,
) -> Forecast:
    """Runs the animator, whose reference is set, for about that long; afterwards it is as it was.

    Args:
        pictures: what drives it, at most; None: the reference's own picture.
        writing: a stage behind the last, such as an encoder; it is part of what is measured.

    Raises InputError where there is no reference, or no picture.
    """
    if animator.portrait is None:
        raise InputError("there is no reference yet: call set_reference() before forecast()")
    before = animator.profiler, animator.source_report, animator.calibration_report
    profiler = animator.profiler = Profiler()
    clock = profiler.clock
    window = animator.plan.denoise.window
    images = repeat(animator.portrait.image) if pictures is None else (picture.image for picture in pictures)
    done: list[float] = []
    worked = [time.process_time()]
    """CPU seconds after so many frames."""
    full = 0
    """Frames that were done when no more were fed: until then all stages had work."""

    def driving() -> Iterator[Frame]:
        nonlocal full
        began = clock()  # the search is compiled before the first frame is asked for
        for index, image in enumerate(images):
            ends = done[window - 1] + seconds if len(done) >= window else began + PATIENCE * seconds
            if index and clock() >= ends:
                break
            yield Frame(index, Fraction(index, 25), image, clock())
        full = len(done)

    began = clock()
    try:
        made = animator.animate(driving())
        for frame in made if writing is None else profiler.stage("encode", writing, made, codec=True):
            profiler.frame_done(frame.index, frame.captured_seconds)
            done.append(clock())
            worked.append(time.process_time())
    finally:
        animator.profiler, animator.source_report, animator.calibration_report = before
    if not done:
        raise InputError("there is no frame to measure with: check the range")
    warm = window if len(done) > window else 0
    fps = (len(done) - warm) / max(done[-1] - (done[warm - 1] if warm else began), 1e-9)
    # between two windows with the queues equally full: what is worked ahead would count for nothing otherwise
    full = warm + (full - warm) // animator.plan.new_frames * animator.plan.new_frames
    first, last = (warm, full) if full > warm else (0, len(done))
    cpu_ms = 1e3 * (worked[last] - worked[first]) / (last - first)
    return _read(profiler.session(), warm, frames=len(done) - warm, fps=fps, cpu_ms=cpu_ms)


def _read(session: Session, warm: int, *, frames: int, fps: float, cpu_ms: float) -> Forecast:
    columns, indices = session.frame_columns, session.frame_indices
    busy: dict[str, float] = {}
    threads: dict[str, str] = {}
    for stage in session.stages:
        if stage.kind != "stage":
            continue
        values = [v for k, v in zip(indices, columns[f"{stage.name}_ms"], strict=True) if k >= warm]
        busy[stage.name] = float(np.mean([v for v in values if isinstance(v, float)] or [0.0]))
        threads[stage.name] = stage.thread
    totals = {stage.name: stage.self_ms.total_ms for stage in session.stages}
    warmed = {name: busy[name] / max(totals[name], 1e-9) for name in ("condition", "denoise")}
    encode = sum(totals.get(f"condition/{part}", 0.0) for part in ("warp", "encode", "features"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Forecast(
        frames=frames,
        fps=fps,
        cpu_ms=cpu_ms,
        busy_ms=busy,
        threads=threads,
        network_ms=warmed["denoise"] * totals.get("denoise/network", 0.0),
        encode_ms=warmed["condition"] * encode,
        compute_ms=0.0 if session.end_to_end is None else session.end_to_end.compute.mean_ms,
        memory_mb=peak / 1e6,
    )


def alternatives(bundle: Bundle, options: AnimateOptions) -> list[Alternative]:
    """What the user could say instead, from what changes the picture least to what changes it most, then all of it; at
    last the diagonal schedule, which makes the delay shorter, for bundles that were trained for it."""
    plan = make_plan(bundle, options)
    now = plan.denoise
    changes: list[tuple[str, AnimateOptions]] = []
    if now.overlap:
        changes.append(("--overlap 0", replace(options, overlap=0)))
    if now.guidance_scale != 1.0:
        changes.append(("--guidance 1", replace(options, guidance_scale=1.0)))
    if now.steps > 2:
        changes.append((f"--steps {now.steps // 2}", replace(options, steps=now.steps // 2)))
    if now.steps > 1:
        changes.append(("--steps 1", replace(options, steps=1)))
    if now.tpc:
        changes.append(("--no-tpc", replace(options, tpc=False)))
    if len(changes) > 1:
        least = replace(options, overlap=0, guidance_scale=1.0, steps=1, tpc=False)
        changes.append(("all of these", least))
    if now.schedule == "window" and plan.delay_frames and "diagonal" in bundle.manifest.conditioning.schedules:
        diagonal = replace(options, schedule="diagonal", window=None, overlap=None, group_size=None, groups=None)
        changes.append(("--schedule diagonal", diagonal))
    found = []
    for words, changed in changes:
        try:
            found.append((words, make_plan(bundle, changed)))
        except InputError:  # such as a group size that only fits the overlap as it is: no alternative
            continue
    return found
