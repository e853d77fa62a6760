"""MediaPipe's PoseLandmarker behind one small class; the only file that knows MediaPipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError, PoseError
from tpc_stream.frame import Body
from tpc_stream.people.native_log import without_chatter
from tpc_stream.people.pose_model import read_model

try:
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat
    from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
    from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmarker, PoseLandmarkerOptions
except (ImportError, OSError) as error:
    raise PoseError(f"mediapipe cannot be loaded ({error}); install mediapipe 1.2 or newer") from error

COCO_FROM_BLAZEPOSE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""For each of the 17 COCO keypoints its number among BlazePose's 33."""


class OfflineBaseOptions(BaseOptions):  # type: ignore[misc]
    """MediaPipe's options with an empty list of trusted certificates.

    MediaPipe 1.x posts usage figures (never pictures) to its makers over HTTPS and has no switch for that. Without a
    certificate it trusts it cannot hand them over: its connection ends before anything is sent.
    """

    def to_ctypes(self) -> Any:
        """The options as the native library takes them."""
        options = super().to_ctypes()
        options.ca_bundle_path = os.devnull.encode()
        return options


class Landmarker:
    """One opened PoseLandmarker; `close` it. Not for several threads at once."""

    def __init__(
        self,
        model_path: Path,
        *,
        mode: Literal["image", "video"],
        people: int,
        min_detection_confidence: float,
        min_presence_confidence: float,
        min_tracking_confidence: float,
    ) -> None:
        """Errors: PoseError where the model file is not the known one or MediaPipe cannot start."""
        options = PoseLandmarkerOptions(
            base_options=OfflineBaseOptions(model_asset_buffer=read_model(model_path)),
            running_mode=VisionTaskRunningMode.VIDEO if mode == "video" else VisionTaskRunningMode.IMAGE,
            num_poses=people,
            min_pose_detection_confidence=min_detection_confidence,
            min_pose_presence_confidence=min_presence_confidence,
            min_tracking_confidence=min_tracking_confidence,
            output_segmentation_masks=True,
        )
        self._quiet = False
        """Whether the native logger has had its say: it speaks when it starts and when the first person is found."""
        try:
            with without_chatter():
                self._landmarker = PoseLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            raise PoseError(
                f"MediaPipe's PoseLandmarker cannot start ({error}); it needs libEGL.so.1 and libGLESv2.so.2 "
                f"(Debian: apt-get install libegl1 libgles2)"
            ) from error

    def detect(self, image: NDArray[np.uint8], milliseconds: int | None = None) -> list[Body]:
        """All people in `image` (HWC RGB uint8), the largest silhouette first; empty where nobody is.

        `milliseconds` is the time of a frame in video mode, strictly rising; None in image mode.
        Errors: InputError for another layout, PoseError where MediaPipe fails.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"the pose estimator takes HWC RGB uint8, got {image.shape = } {image.dtype = }")
        if self._quiet:
            return self._detect(image, milliseconds)
        with without_chatter():
            people = self._detect(image, milliseconds)
        self._quiet = bool(people)
        return people

    def _detect(self, image: NDArray[np.uint8], milliseconds: int | None) -> list[Body]:
        height, width = image.shape[:2]
        picture = Image(ImageFormat.SRGB, np.ascontiguousarray(image))
        try:
            if milliseconds is None:
                result = self._landmarker.detect(picture)
            else:
                result = self._landmarker.detect_for_video(picture, milliseconds)
        except (RuntimeError, ValueError) as error:
            raise PoseError(f"the pose estimator failed on a picture of {width}x{height}: {error}") from error
        bodies = []
        for landmarks, mask in zip(result.pose_landmarks, result.segmentation_masks or [], strict=True):
            points = [landmarks[k] for k in COCO_FROM_BLAZEPOSE]
            keypoints = np.array([(point.x * width, point.y * height) for point in points], np.float32)
            visibility = np.clip(np.array([point.visibility for point in points], np.float32), 0.0, 1.0)
            coverage = mask.numpy_view().reshape(height, width)
            silhouette = np.rint(np.clip(coverage, 0.0, 1.0) * 255.0).astype(np.uint8)
            bodies.append(Body(keypoints=keypoints, visibility=visibility, silhouette=silhouette))
        return sorted(bodies, key=lambda body: -int(body.silhouette.sum(dtype=np.int64)))

    def close(self) -> None:
        """Let go of MediaPipe's graph and its threads; a second call does nothing."""
        self._landmarker.close()
