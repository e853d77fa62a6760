from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_up_system import CELL, SIZE, MadeUp, graph
from tests.media import make_video
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.errors import InputError, SourceError
from tpc_stream.manifest import Manifest, PoseSpec
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.pose_video import read_pose_pictures


def told_pictures() -> Manifest:
    system = MadeUp(pose=PoseSpec("densepose"))
    shape = ("F", 3, SIZE, SIZE)
    system.graphs["pose"] = graph("pose", {"pose_images": shape}, {"pose_features": ("F", 1, CELL, CELL)})
    return system.manifest


def draw(index: int) -> np.ndarray:
    return np.full((64, 64, 3), 20 * index, np.uint8)


def test_the_pictures_have_the_manifests_size_and_the_motions_range(tmp_path: Path) -> None:
    path = tmp_path / "pose.mp4"
    make_video(path, frames=10, rate=25, width=64, height=64, draw=draw)
    frames = list(read_pose_pictures(path, manifest=told_pictures(), fit="pad", start_seconds=0.12, max_frames=4))
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert {frame.image.shape for frame in frames} == {(SIZE, SIZE, 3)}
    assert [round(float(frame.image.mean()) / 20) for frame in frames] == [3, 4, 5, 6]


def test_a_video_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.mp4"):
        next(read_pose_pictures(tmp_path / "nothing.mp4", manifest=told_pictures(), fit="pad"))


def test_a_bundle_that_is_told_keypoints_refuses_pictures(tmp_path: Path) -> None:
    options = AnimateOptions(bundle=make_tiny_bundle(tmp_path / "tiny"), pose_video="pose.mp4")
    with pytest.raises(InputError, match="is told keypoints and takes no --pose-video"):
        Animator(options)
