"""Parts of one motion, each posed and calibrated as if it were alone, in one go over its frames.

A tracker and a steadying keep to where they were, so two that began at different frames may lie apart for long: a
little, but in a still picture a cut between them is seen. So a part goes over to what the next one finds, before that
one begins (`bridge`). What it finds there is found once, and serves both parts: the next one goes on with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Generic, TypeVar

from tpc_stream.bridge import between
from tpc_stream.calibrate import CalibrationConfig, CalibrationReport, calibrate
from tpc_stream.errors import InputError
from tpc_stream.frame import CalibratedFrame, Frame, Portrait, PosedFrame
from tpc_stream.part import WHOLE, Part
from tpc_stream.procrustes import Searcher

X = TypeVar("X")
Y = TypeVar("Y")
PoseStage = Callable[[Iterable[Frame]], Iterator[PosedFrame]]


@dataclass(frozen=True, slots=True, eq=False)
class PosedViews:
    """A frame as each part that looks at it sees it."""

    frame: Frame
    posed: Mapping[int, PosedFrame]
    """By the part's number."""


@dataclass(frozen=True, slots=True, eq=False)
class PartFrame:
    """A calibrated frame on its way into the network, for the part that it is a frame of."""

    part: Part
    item: CalibratedFrame

    @property
    def index(self) -> int:
        return self.item.frame.index


class Relay:
    """The pose stage and the calibration stage of parts that follow one another. InputError where they do not."""

    def __init__(self, parts: Sequence[Part] = (WHOLE,)) -> None:
        for one, other in pairwise(parts):
            if one.bridge is None or one.bridge.begins != other.read.start or one.shown.stop != other.shown.start:
                raise InputError(f"a relay's parts follow one another, got {one} before {other}")
        self._parts = tuple(parts)
        self._runs: list[range] = []
        seen_until = 0  # by the part before, which goes over to this one
        for part in parts:
            own = part.bridge.arrives if part.bridge else part.read.stop
            self._runs.append(range(part.read.start, max(own, seen_until)))
            seen_until = part.read.stop
        if (bridge := parts[-1].bridge) is not None:
            self._runs.append(range(bridge.begins, seen_until))

    def poses(self, frames: Iterable[Frame], *, stage: PoseStage) -> Iterator[PosedViews]:
        """The pose stage. Where there are several parts it gives one frame for each, before it takes more."""
        if len(self._runs) == 1:
            yield from (PosedViews(item.frame, {0: item}) for item in stage(frames))
            return
        with ExitStack() as opened:
            trackers = _Runners(self._runs, [stage] * len(self._runs))
            opened.callback(trackers.close)
            for frame in frames:
                yield PosedViews(frame, trackers.give(frame.index, dict.fromkeys(range(len(self._runs)), frame)))

    def calibrate(
        self, seen: Iterable[PosedViews], portrait: Portrait, *, config: CalibrationConfig, report: CalibrationReport
    ) -> Iterator[PartFrame]:
        """`calibrate`, and each part gone over to the next; all frames of a part, then all of the next.

        Frames that two parts look at are therefore given twice. The report counts what each part found by itself.
        """
        if len(self._runs) == 1:
            posed = (views.posed[0] for views in seen)
            for item in calibrate(posed, portrait, config=config, report=report):
                yield PartFrame(self._parts[0], item)
            return
        searcher = Searcher(portrait.body.keypoints, portrait.body.visibility, portrait.mask, config=config.search)
        own = partial(calibrate, portrait=portrait, config=config, report=report)
        beyond = partial(calibrate, portrait=portrait, config=config)
        stages = [own if k < len(self._parts) else beyond for k in range(len(self._runs))]
        with ExitStack() as opened:
            searches = _Runners(self._runs, stages)
            opened.callback(searches.close)
            waiting: list[deque[PartFrame]] = [deque() for _ in self._parts]
            current = 0
            for views in seen:
                index = views.frame.index
                found = searches.give(index, views.posed)
                for number, part in enumerate(self._parts):
                    if index in part.read:
                        waiting[number].append(PartFrame(part, _gone_over(part, number, index, found, searcher)))
                while current < len(waiting):
                    while waiting[current]:
                        yield waiting[current].popleft()
                    if index + 1 < self._parts[current].read.stop:
                        break
                    current += 1
            for rest in waiting:
                yield from rest


def _gone_over(
    part: Part, number: int, index: int, found: Mapping[int, CalibratedFrame], searcher: Searcher
) -> CalibratedFrame:
    if part.bridge is None or index < part.bridge.begins:
        return found[number]
    if index >= part.bridge.arrives:
        return found[number + 1]
    return between(found[number], found[number + 1], part.bridge.weight(index), searcher)


class _Runners(Generic[X, Y]):
    """Runs of a stage that begin and end at frames of their own; each gives one item for each that it is given."""

    def __init__(self, runs: Sequence[range], stages: Sequence[Callable[[Iterable[X]], Iterator[Y]]]) -> None:
        self._runs, self._stages = runs, stages
        self._running: dict[int, tuple[deque[X], Iterator[Y]]] = {}

    def give(self, index: int, items: Mapping[int, X]) -> dict[int, Y]:
        """What each run makes of its item at that frame."""
        made: dict[int, Y] = {}
        for number, run in enumerate(self._runs):
            if index in run:
                if number not in self._running:
                    taken = deque[X]()
                    self._running[number] = taken, self._stages[number](_emptied(taken))
                taken, stage = self._running[number]
                taken.append(items[number])
                made[number] = next(stage)
            elif number in self._running:
                self._end(number)
        return made

    def close(self) -> None:
        for number in tuple(self._running):
            self._end(number)

    def _end(self, number: int) -> None:
        _, stage = self._running.pop(number)
        if (close := getattr(stage, "close", None)) is not None:
            close()


def _emptied(waiting: deque[X]) -> Iterator[X]:
    while waiting:
        yield waiting.popleft()
