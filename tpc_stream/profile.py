"""Where the time goes: a Profiler records while frames pass, and formats nothing; session() gives plain data.

Self time is the time inside a stage less the time it spends pulling from upstream, so stages add up instead of
containing one another. A stage may take several items before it gives several: outputs that follow one another
without a pull between them form a batch, and the batch's time is shared equally among them.
Each frame's own way is booked as well, from its capture to the sink: see recording/ledger.py.
Works across threads, as long as each stage runs in one: put `prefetch` between stages, never inside one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tpc_stream.errors import InputError
from tpc_stream.recording.recorder import MAX_TRACE_SPANS, Recorder
from tpc_stream.recording.selftime import ProfiledStage, Span, frame_index
from tpc_stream.recording.series import NO_FRAME
from tpc_stream.recording.session import Session
from tpc_stream.recording.stage_timer import StageTimer
from tpc_stream.recording.summary import summarise

__all__ = ["MAX_TRACE_SPANS", "NO_FRAME", "ProfiledStage", "Profiler", "Session", "Span", "frame_index"]

X = TypeVar("X")
Y = TypeVar("Y")


class Profiler(Recorder):
    """Records durations; methods may be called from any thread."""

    def stage(
        self,
        name: str,
        stage: Callable[[Iterable[X]], Iterator[Y]],
        upstream: Iterable[X],
        *,
        key: Callable[[Y], int] = frame_index,
        codec: bool = False,
    ) -> ProfiledStage[Y]:
        """Run `stage` on `upstream` and record its self time per item it gives; `key` tells an item's frame index.

        codec: the stage encodes or decodes video, which end to end tells apart from computing.
        """
        return ProfiledStage(StageTimer(self, name, "stage", codec=codec), stage, upstream, key)

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
