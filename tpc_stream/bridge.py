"""From poses and calibrations that follow one past to those that follow another: a chunk's way into the next."""

from __future__ import annotations

from cmath import phase
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tpc_stream.calibrate import CalibrationConfig, CalibrationReport, calibrate
from tpc_stream.frame import Body, CalibratedFrame, Frame, Portrait, PosedFrame, Similarity
from tpc_stream.procrustes import Searcher
from tpc_stream.silhouettes import TargetSilhouette

X = TypeVar("X")


@dataclass(frozen=True, slots=True)
class Bridge:
    """Where the poses and calibrations pass into those of the next chunk; global indices."""

    begins: int
    """The first frame that the next chunk looks at: its tracker and its steadying know none before."""
    leaves: int
    """The first frame that is moved towards it."""
    arrives: int
    """From this frame on, the next chunk's own, all is as there."""

    def weight(self, index: int) -> float:
        """Of the next chunk's, [0, 1], rising evenly."""
        return min(1.0, max(0.0, (index - self.leaves + 1) / (self.arrives - self.leaves + 1)))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a motion that is animated by itself."""

    frames: range
    """Global indices of the frames that pass through the network; of those before, poses and calibrations alone."""
    bridge: Bridge | None = None
    """Into the part that follows."""


class Crossing:
    """The two stages of one run that ends with a bridge.

    A tracker and a steadying keep to where they were, so two that began at different frames may lie apart for long: a
    little, but in a still picture a cut between them is seen. What the next chunk will find in the frames before the
    cut is found here as well, and gone over to evenly. The pose stage gives one frame for each, before it takes more.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._next: dict[int, PosedFrame] = {}

    def poses(
        self, frames: Iterable[Frame], *, stage: Callable[[Iterable[Frame]], Iterator[PosedFrame]]
    ) -> Iterator[PosedFrame]:
        """The pose stage; what the next chunk's says is kept for `calibrate`."""
        ours, theirs = deque[Frame](), deque[Frame]()
        before, after = stage(_taken(ours)), stage(_taken(theirs))
        for frame in frames:
            ours.append(frame)
            if frame.index >= self._bridge.begins:
                theirs.append(frame)
                self._next[frame.index] = next(after)
            yield next(before)

    def calibrate(
        self, posed: Iterable[PosedFrame], portrait: Portrait, *, config: CalibrationConfig, report: CalibrationReport
    ) -> Iterator[CalibratedFrame]:
        """`calibrate`, and poses and calibrations gone over to those of the next chunk.

        Between two similarity transforms lie the means of their matrices; where either frame has no transform of its
        own, the nearer of the two calibrations holds, and so with poses.
        """
        searcher = Searcher(portrait.body.keypoints, portrait.body.visibility, portrait.mask, config=config.search)
        ours, theirs = deque[PosedFrame](), deque[PosedFrame]()
        before = calibrate(_taken(ours), portrait, config=config, report=report)
        after = calibrate(_taken(theirs), portrait, config=config)
        for item in posed:
            ours.append(item)
            own = next(before)
            if item.frame.index in self._next:
                theirs.append(self._next.pop(item.frame.index))
                own = _between(own, next(after), self._bridge.weight(item.frame.index), searcher)
            yield own


def _taken(waiting: deque[X]) -> Iterator[X]:
    while waiting:
        yield waiting.popleft()


def _between(one: CalibratedFrame, other: CalibratedFrame, weight: float, searcher: Searcher) -> CalibratedFrame:
    near = other if weight > 0.5 else one
    if weight in (0.0, 1.0) or one.body is None or other.body is None or near.body is None:
        return near
    body = Body(
        keypoints=_mean(one.body.keypoints, other.body.keypoints, weight),
        visibility=_mean(one.body.visibility, other.body.visibility, weight),
        silhouette=near.body.silhouette,
    )
    a, b = one.calibration, other.calibration
    if a.status != "fresh" or b.status != "fresh":
        return replace(near, body=body)
    if not (isinstance(a.transform, Similarity) and isinstance(b.transform, Similarity)):
        return replace(near, body=body)
    matrix = (1 - weight) * a.transform.matrix + weight * b.transform.matrix
    turn = complex(matrix[0, 0], matrix[1, 0])
    if not turn:
        return replace(near, body=body)
    transform = Similarity(abs(turn), phase(turn), (float(matrix[0, 2]), float(matrix[1, 2])))
    target = TargetSilhouette.of(body.silhouette, threshold=searcher.config.mask_threshold)
    iou = target.iou(searcher.silhouette, transform)
    return CalibratedFrame(one.frame, body, replace(near.calibration, transform=transform, iou=iou))


def _mean(one: NDArray[np.float32], other: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    return np.asarray((1 - weight) * one + weight * other, dtype=np.float32)
