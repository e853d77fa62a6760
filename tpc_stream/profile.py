"""Where the time goes: a Profiler records while frames pass, and formats nothing; session() gives plain data.

Self time is the time inside a stage less the time it spends pulling from upstream, so stages add up instead of
containing one another. A stage may take several items before it gives several: outputs that follow one another
without a pull between them form a batch, and the batch's time is shared equally among them.
Works across threads, as long as each stage runs in one: put `prefetch` between stages, never inside one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tpc_stream.errors import InputError
from tpc_stream.recording.recorder import MAX_TRACE_SPANS, Recorder
from tpc_stream.recording.selftime import ProfiledStage, Span, StageTimer
from tpc_stream.recording.series import NO_FRAME
from tpc_stream.recording.session import Session
from tpc_stream.recording.summary import summarise

__all__ = ["MAX_TRACE_SPANS", "NO_FRAME", "ProfiledStage", "Profiler", "Session", "Span", "frame_index"]

X = TypeVar("X")
Y = TypeVar("Y")


def frame_index(item: object) -> int:
    """The global index of a Frame, or of what carries one as `.frame`; NO_FRAME for anything else."""
    index = getattr(item, "index", None)
    if not isinstance(index, int):  # a tuple's or a list's `index` is a method
        index = getattr(getattr(item, "frame", None), "index", None)
    return index if isinstance(index, int) else NO_FRAME


class Profiler(Recorder):
    """Records durations; methods may be called from any thread."""

    def stage(
        self,
        name: str,
        stage: Callable[[Iterable[X]], Iterator[Y]],
        upstream: Iterable[X],
        *,
        key: Callable[[Y], int] = frame_index,
    ) -> ProfiledStage[Y]:
        """Run `stage` on `upstream` and record its self time per item it gives; `key` tells an item's frame index."""
        return ProfiledStage(StageTimer(self, name, "stage"), stage, upstream, key)

    def source(self, name: str, items: Iterable[Y], *, key: Callable[[Y], int] = frame_index) -> ProfiledStage[Y]:
        """Record what makes the items: like a stage, but its time lies before the frame's capture time."""
        return ProfiledStage(StageTimer(self, name, "source"), lambda _: iter(items), (), key)

    def span(self, name: str, index: int | None = None) -> Span:
        """Time a `with` block. Inside a stage or span its name goes below theirs: "denoise/reference"; a name that
        already starts so is kept. Pulls, and yields to downstream, inside a stage's span are not counted."""
        return Span(self, name, NO_FRAME if index is None else index)

    def session(self, *, fps: float | None = None) -> Session:
        """What was recorded so far, as plain data; with fps also which frames came too late for that rate."""
        if fps is not None and not fps > 0:
            raise InputError(f"fps is above 0, got {fps}; leave it out if the source has no rate")
        with self.lock:
            for timer in self.timers:
                timer.flush()
            return summarise(self, fps=fps)
