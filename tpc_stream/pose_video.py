"""A pose video: pictures for the pose network, made elsewhere, one for each frame of the driving video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tpc_stream.errors import InputError
from tpc_stream.fit import FitGeometry, FitMode
from tpc_stream.frame import Frame
from tpc_stream.manifest import Manifest
from tpc_stream.source import read_frames


def check_pose_video(manifest: Manifest) -> None:
    """InputError for a bundle that is told keypoints and takes no pictures."""
    if manifest.pose.drawing == "keypoints":
        raise InputError(f"bundle {manifest.name} is told keypoints and takes no --pose-video; leave it out")


def read_pose_pictures(
    path: str | Path,
    *,
    manifest: Manifest,
    fit: FitMode,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    max_frames: int | None = None,
) -> Iterator[Frame]:
    """The pictures of the same range as the driving video's, at the manifest's size, fitted as its frames are.

    Errors: SourceError where the video cannot be read.
    """
    frames: Iterable[Frame] = read_frames(
        path, start_seconds=start_seconds, end_seconds=end_seconds, max_frames=max_frames
    )
    for frame in frames:
        geometry = FitGeometry.of(
            source_width=frame.image.shape[1], source_height=frame.image.shape[0], width=manifest.width,
            height=manifest.height, mode=fit,
        )  # fmt: skip
        picture = np.ascontiguousarray(geometry.apply(frame.image))
        yield Frame(frame.index, frame.pts_seconds, picture, captured_seconds=frame.captured_seconds)
