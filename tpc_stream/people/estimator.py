"""How people are looked for, and what finds them: the settings, and what an estimator and a tracker offer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import Body
from tpc_stream.people.pose_model import MODEL_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseConfig:
    """How people are looked for."""

    model_path: Path = MODEL_PATH
    min_detection_confidence: float = 0.5
    """[0, 1]: below it the detector's find is dropped. MediaPipe's default."""
    min_presence_confidence: float = 0.5
    """[0, 1]: below it the points are dropped: nobody is there. MediaPipe's default."""
    min_tracking_confidence: float = 0.5
    """[0, 1], streams only: below it the person is detected afresh instead of followed. MediaPipe's default."""
    retry_lost: bool = True
    """Streams only: look again, as if at a single picture, in a frame where the tracker finds nobody."""
    retry_turns_degrees: tuple[float, ...] = (90.0, -90.0, 180.0)
    """The detector knows upright people; a lost frame is also looked at turned by these angles, clockwise."""
    retry_turns_every_frames: int = 8
    """Of the frames lost in a row, the first and then each so many-th is looked at turned: it costs a detection (about
    10 ms) for each angle, so a stream without people becomes less than three times slower, not five times."""

    def __post_init__(self) -> None:
        if self.retry_turns_every_frames < 1:
            raise InputError(f"retry_turns_every_frames is 1 or more, got {self.retry_turns_every_frames}")
        for name in ("min_detection_confidence", "min_presence_confidence", "min_tracking_confidence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} lies in [0, 1], got {getattr(self, name)}")


class Estimator(Protocol):
    """Finds people in single pictures; `PoseEstimator` is the real one."""

    def estimate(self, image: NDArray[np.uint8]) -> Body | None:
        """The most prominent person in `image` (HWC RGB uint8), None where nobody is found."""

    def estimate_all(self, image: NDArray[np.uint8]) -> list[Body]:
        """Up to three people, the most prominent first."""

    def close(self) -> None:
        """Let go of what is held."""


class Tracker(Protocol):
    """Follows one person through a stream; `VideoTracker` is the real one."""

    def track(self, image: NDArray[np.uint8], milliseconds: int) -> Body | None:
        """The person in the next frame (HWC RGB uint8) at the strictly rising time `milliseconds`."""

    def close(self) -> None:
        """Let go of what is held."""
