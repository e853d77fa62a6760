"""What the pose graph is told of each frame: keypoints, or pictures that are drawn from them or come from a video."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tpc_stream.drawing.draw import draw_pose, from_video
from tpc_stream.engine import Array
from tpc_stream.errors import InputError
from tpc_stream.frame import Body, CalibratedFrame, Frame
from tpc_stream.manifest import Manifest
from tpc_stream.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What is told of one frame."""

    shown: bool
    """Whether there is a person to show: found in this frame, or not long ago."""
    array: NDArray[np.float32]
    """[17, 3] x / width, y / height, visibility; or [C, H, W] in [0, 1]."""


class PoseInput:
    """Watches the frames before they are cut into windows; where nobody is found, the last pose stands in for a while.

    Args:
        hold_seconds: for how long. 0.3 means 3/10, exactly.
        pictures: the frames of a pose video, one for each frame, at the manifest's size; None: pictures are drawn.
    """

    def __init__(self, manifest: Manifest, *, hold_seconds: float, pictures: Iterable[Frame] | None = None) -> None:
        self._manifest, self._spec = manifest, manifest.pose
        self._hold = Fraction(hold_seconds).limit_denominator(1_000_000)
        self._pictures = None if pictures is None else iter(pictures)
        self._last: tuple[Body, Fraction] | None = None
        self._told: dict[int, _Told] = {}

    def watch(self, frames: Iterable[CalibratedFrame]) -> Iterator[CalibratedFrame]:
        """The same frames, each after as many later ones are known as its pictures need.

        Errors: InputError where a pose video is not aligned with the frames.
        """
        waiting: deque[CalibratedFrame] = deque()
        before: Frame | None = None
        for item in frames:
            self._told[item.frame.index] = self._tell(item, before)
            before = item.frame
            waiting.append(item)
            if len(waiting) > self._spec.frames_after:
                yield waiting.popleft()
        yield from waiting
        if self._pictures is not None and next(self._pictures, None) is not None:
            raise InputError(
                f"the pose video is longer than the driving video, which ends after "
                f"{0 if before is None else before.index + 1} frames; give one that is aligned with it"
            )

    def inputs(self, window: Window) -> tuple[dict[str, Array], tuple[bool, ...]]:
        """`keypoints` [F, 17, 3] or `pose_images` [F, pictures x channels, H, W]; per frame, whether one is shown."""
        told = [self._told[index] for index in window.indices]
        if self._spec.drawing == "keypoints":
            inputs: dict[str, Array] = {"keypoints": np.stack([item.array for item in told])}
        else:
            inputs = {"pose_images": np.stack([self._stack(index) for index in window.indices])}
        # windows overlap: the next one begins after this one's start, and may look at pictures from before its own
        oldest = window.index - self._spec.frames_before
        self._told = {index: item for index, item in self._told.items() if index >= oldest}
        return inputs, tuple(item.shown for item in told)

    def _stack(self, index: int) -> NDArray[np.float32]:
        own = self._told[index]
        around = range(index - self._spec.frames_before, index + self._spec.frames_after + 1)
        return np.concatenate([self._told.get(k, own).array for k in around])

    def _tell(self, item: CalibratedFrame, before: Frame | None) -> _Told:
        now = item.frame.pts_seconds
        if item.body is not None:
            self._last = item.body, now
        body = self._last[0] if self._last is not None and now - self._last[1] <= self._hold else None
        if self._spec.drawing == "keypoints":
            return _Told(body is not None, _keypoints(body, item.frame))
        if self._pictures is not None:
            picture = from_video(self._spec.drawing, self._next_picture(item.frame, before))
        else:
            picture = draw_pose(self._spec.drawing, body, width=self._manifest.width, height=self._manifest.height)
        return _Told(body is not None, np.ascontiguousarray((picture.astype(np.float32) / 255).transpose(2, 0, 1)))

    def _next_picture(self, frame: Frame, before: Frame | None) -> NDArray[np.uint8]:
        assert self._pictures is not None
        other = next(self._pictures, None)
        if other is None:
            raise InputError(
                f"the pose video ends after {frame.index} frames, the driving video goes on; "
                "give one that is aligned with it"
            )
        step = None if before is None else frame.pts_seconds - before.pts_seconds
        if step is not None and abs(other.pts_seconds - frame.pts_seconds) > step / 4:
            raise InputError(
                f"the pose video has another frame rate: its frame {frame.index} is at "
                f"{float(other.pts_seconds):.3f} s, the driving video's at {float(frame.pts_seconds):.3f} s; "
                "give one that is aligned with it"
            )
        return other.image


def _keypoints(body: Body | None, frame: Frame) -> NDArray[np.float32]:
    points = np.zeros((17, 3), dtype=np.float32)
    if body is not None:
        height, width = frame.image.shape[:2]
        points[:, 0] = body.keypoints[:, 0] / width
        points[:, 1] = body.keypoints[:, 1] / height
        points[:, 2] = body.visibility
    return points
