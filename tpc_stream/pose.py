"""Find the person in pictures and in streams: `PoseEstimator` for one picture, `estimate_poses` for a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Body, Frame, PosedFrame
from tpc_stream.people.estimator import Estimator, PoseConfig, Tracker
from tpc_stream.people.turning import turn_for, turn_image, undo_turn

if TYPE_CHECKING:  # MediaPipe takes most of a second to import: only who opens an estimator pays for it
    from tpc_stream.people.landmarker import Landmarker


class PoseEstimator:
    """MediaPipe's BlazePose on single pictures. Opened on first use; a context manager, or call `close`."""

    MOST_PEOPLE = 3

    def __init__(self, config: PoseConfig = PoseConfig()) -> None:
        self._config = config
        self._opened: dict[int, Landmarker] = {}

    def estimate(self, image: NDArray[np.uint8]) -> Body | None:
        """The most prominent person in `image` (HWC RGB uint8, any size), None where nobody is found.

        Errors: PoseError where the estimator cannot run, InputError for another layout.
        """
        people = self._landmarker(people=1).detect(image)
        return people[0] if people else None

    def estimate_all(self, image: NDArray[np.uint8]) -> list[Body]:
        """Up to `MOST_PEOPLE` people in `image` (HWC RGB uint8), the largest silhouette first. Errors as above."""
        return self._landmarker(people=self.MOST_PEOPLE).detect(image)

    def _landmarker(self, *, people: int) -> Landmarker:
        if people not in self._opened:
            self._opened[people] = _open_landmarker(self._config, mode="image", people=people)
        return self._opened[people]

    def close(self) -> None:
        """Let go of the networks; a second call does nothing, a later `estimate` opens them again."""
        while self._opened:
            self._opened.popitem()[1].close()

    def __enter__(self) -> PoseEstimator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class VideoTracker:
    """MediaPipe's BlazePose in video mode: detects once, then follows; its points are smoothed over time."""

    def __init__(self, config: PoseConfig) -> None:
        self._landmarker = _open_landmarker(config, mode="video", people=1)

    def track(self, image: NDArray[np.uint8], milliseconds: int) -> Body | None:
        """The person in the next frame; None where nobody is found. Errors: PoseError, InputError."""
        people = self._landmarker.detect(image, milliseconds)
        return people[0] if people else None

    def close(self) -> None:
        """Let go of the networks."""
        self._landmarker.close()


def estimate_poses(
    frames: Iterable[Frame],
    *,
    config: PoseConfig = PoseConfig(),
    open_tracker: Callable[[PoseConfig], Tracker] = VideoTracker,
    open_estimator: Callable[[PoseConfig], Estimator] = PoseEstimator,
) -> Iterator[PosedFrame]:
    """The stage: each frame with the person found in it, in pixels of the frame; body is None where nobody is found.

    One person is followed, the most prominent. A frame where the tracker finds nobody is looked at again as a single
    picture, upright and now and then turned (see `PoseConfig`). The same frames give the same bits on each run.
    Errors: PoseError where the estimator cannot run; a frame without a person is no error.
    """
    with ExitStack() as opened:
        tracker = opened.enter_context(closing(open_tracker(config)))
        estimator = opened.enter_context(closing(open_estimator(config)))
        milliseconds = -1
        lost = 0
        last_turn = 0.0
        for frame in frames:
            milliseconds = max(milliseconds + 1, round(frame.pts_seconds * 1000))
            body = tracker.track(frame.image, milliseconds)
            if body is None and config.retry_lost:
                full = lost % config.retry_turns_every_frames == 0
                turns = dict.fromkeys((last_turn, 0.0, *(config.retry_turns_degrees if full else ())))
                body, last_turn = _look_again(estimator, frame.image, turns=tuple(turns), otherwise=last_turn)
                lost = 0 if body is not None and last_turn else lost + 1
            else:
                lost = 0
            yield PosedFrame(frame=frame, body=body)


def _look_again(
    estimator: Estimator, image: NDArray[np.uint8], *, turns: tuple[float, ...], otherwise: float
) -> tuple[Body | None, float]:
    """The first body found in `image` under one of `turns` (degrees) and that turn; (None, `otherwise`) if none is."""
    for degrees in turns:
        if degrees == 0.0:
            body = estimator.estimate(image)
            if body is not None:
                return body, degrees
            continue
        turn = turn_for(image.shape[1], image.shape[0], degrees=degrees)
        body = estimator.estimate(turn_image(image, turn))
        if body is not None:
            return undo_turn(body, turn), degrees
    return None, otherwise


def _open_landmarker(config: PoseConfig, *, mode: Literal["image", "video"], people: int) -> Landmarker:
    from tpc_stream.people.landmarker import Landmarker

    return Landmarker(
        config.model_path,
        mode=mode,
        people=people,
        min_detection_confidence=config.min_detection_confidence,
        min_presence_confidence=config.min_presence_confidence,
        min_tracking_confidence=config.min_tracking_confidence,
    )
