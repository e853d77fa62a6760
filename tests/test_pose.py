"""Poses of pictures and streams: with a made-up estimator for the logic, with MediaPipe for the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmark
from numpy.typing import NDArray

from tests.dots import DotEstimator, draw_person, find_person
from tpc_stream.errors import InputError, PoseError
from tpc_stream.frame import KEYPOINT_NAMES, Body, Frame, PosedFrame
from tpc_stream.people.estimator import Estimator, PoseConfig, Tracker
from tpc_stream.people.landmarker import COCO_FROM_BLAZEPOSE, OfflineBaseOptions
from tpc_stream.people.native_log import without_chatter
from tpc_stream.people.turning import turn_for, turn_image
from tpc_stream.people.voting import torso_angle_degrees
from tpc_stream.pose import PoseEstimator, estimate_poses


def _frames(images: list[NDArray[np.uint8]], *, fps: int = 30) -> list[Frame]:
    return [Frame(k, Fraction(k, fps), image, 0.0) for k, image in enumerate(images)]


class ScriptedTracker:
    """A Tracker that finds dots where `finds(call)` says so."""

    def __init__(self, finds: Callable[[int], bool]) -> None:
        self._finds = finds
        self.times: list[int] = []
        self.closed = False

    def track(self, image: NDArray[np.uint8], milliseconds: int) -> Body | None:
        self.times.append(milliseconds)
        return find_person(image) if self._finds(len(self.times) - 1) else None

    def close(self) -> None:
        self.closed = True


class UprightEstimator(DotEstimator):
    """Finds only people whose head is above their feet, as real detectors do."""

    def estimate(self, image: NDArray[np.uint8]) -> Body | None:
        body = super().estimate(image)
        if body is None:
            return None
        x, y = body.keypoints[0] - body.keypoints[15:].mean(axis=0)
        return body if y < 0 and abs(x) < abs(y) else None


def _run(
    frames: list[Frame], tracker: Tracker, estimator: Estimator, config: PoseConfig | None = None
) -> Iterator[PosedFrame]:
    return estimate_poses(
        frames, config=config or PoseConfig(), open_tracker=lambda _: tracker, open_estimator=lambda _: estimator
    )


def _read_video(path: Path, *, side: int) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures]


# ---- the stage's own logic


def test_coco_points_are_those_of_the_same_name_in_blazepose() -> None:
    assert tuple(PoseLandmark(k).name.lower() for k in COCO_FROM_BLAZEPOSE) == KEYPOINT_NAMES


def test_each_frame_comes_out_once_with_its_person() -> None:
    image, places = draw_person(width=310, height=310)
    frames = _frames([image, np.zeros_like(image), image])
    posed = list(_run(frames, ScriptedTracker(lambda k: True), DotEstimator()))
    assert [one.frame for one in posed] == frames
    assert posed[1].body is None
    assert posed[0].body is not None and np.abs(posed[0].body.keypoints - places).max() < 0.75


def test_times_rise_strictly_even_where_the_source_stands_still() -> None:
    image, _ = draw_person(width=310, height=310)
    tracker = ScriptedTracker(lambda k: True)
    seconds = [Fraction(0), Fraction(0), Fraction(1, 3000), Fraction(1, 2), Fraction(1, 4), Fraction(1)]
    frames = [Frame(k, pts, image, 0.0) for k, pts in enumerate(seconds)]
    list(_run(frames, tracker, DotEstimator()))
    assert tracker.times == [0, 1, 2, 500, 501, 1000]


def test_a_frame_the_tracker_lost_is_looked_at_again() -> None:
    image, _ = draw_person(width=310, height=310)
    posed = list(_run(_frames([image] * 3), ScriptedTracker(lambda k: k != 1), DotEstimator()))
    assert all(one.body is not None for one in posed)


def test_without_retry_a_lost_frame_is_empty() -> None:
    image, _ = draw_person(width=310, height=310)
    estimator = DotEstimator()
    posed = list(_run(_frames([image]), ScriptedTracker(lambda k: False), estimator, PoseConfig(retry_lost=False)))
    assert posed[0].body is None and estimator.calls == 0


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_turned_person_is_found_in_place(degrees: int) -> None:
    image, places = draw_person(width=340, height=320, degrees=degrees)
    frames = _frames([image] * 12)
    estimator = UprightEstimator()
    posed = list(_run(frames, ScriptedTracker(lambda k: False), estimator))
    for one in posed:
        assert one.body is not None and np.abs(one.body.keypoints - places).max() < 0.75
        assert one.body.silhouette.shape == (320, 340)
    # once the turn is known, later frames are looked at under it first
    assert estimator.calls <= 4 + 11


def test_a_stream_without_people_costs_few_extra_looks() -> None:
    estimator = DotEstimator()
    blank = np.zeros((300, 300, 3), np.uint8)
    config = PoseConfig(retry_turns_every_frames=8)
    posed = list(_run(_frames([blank] * 16), ScriptedTracker(lambda k: False), estimator, config))
    assert all(one.body is None for one in posed)
    assert estimator.calls == 16 + 2 * 3


def test_both_are_closed_at_the_end_at_an_error_and_when_dropped() -> None:
    image, _ = draw_person(width=310, height=310)
    for frames in (_frames([image]), [*_frames([image]), "no frame"]):
        tracker, estimator = ScriptedTracker(lambda k: True), DotEstimator()
        stage = _run(frames, tracker, estimator)
        if len(frames) == 2:
            with pytest.raises(AttributeError):
                list(stage)
        else:
            list(stage)
        assert tracker.closed and estimator.closed
    tracker, estimator = ScriptedTracker(lambda k: True), DotEstimator()
    stage = _run(_frames([image] * 3), tracker, estimator)
    next(stage)
    stage.close()
    assert tracker.closed and estimator.closed


def test_configuration_is_checked() -> None:
    with pytest.raises(InputError, match="got 0"):
        PoseConfig(retry_turns_every_frames=0)
    with pytest.raises(InputError, match=r"min_presence_confidence .* got 1.5"):
        PoseConfig(min_presence_confidence=1.5)


# ---- MediaPipe, without pictures of people


def test_blank_pictures_have_nobody_and_standard_error_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    blank = np.full((120, 200, 3), 128, np.uint8)
    with PoseEstimator() as estimator:
        assert estimator.estimate(blank) is None
        assert estimator.estimate_all(blank) == []
    posed = list(estimate_poses(_frames([blank] * 3)))
    assert [one.body for one in posed] == [None] * 3
    assert capfd.readouterr().err == ""


def test_only_known_chatter_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with without_chatter():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"W0000 00:00:17.5 5193 inference_feedback_manager.cc:121] Feedback manager requires\n")
        os.write(2, b"E0000 00:00:17.5 5193 inference_feedback_manager.cc:121] broken\nout of memory\n")
    assert capfd.readouterr().err.splitlines() == [
        "E0000 00:00:17.5 5193 inference_feedback_manager.cc:121] broken",
        "out of memory",
    ]


def test_the_native_library_trusts_no_server() -> None:
    assert OfflineBaseOptions().to_ctypes().ca_bundle_path == os.devnull.encode()


def test_a_wrong_model_is_refused_when_opened(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.task"
    wrong.write_bytes(b"not a model")
    with PoseEstimator(PoseConfig(model_path=wrong)) as estimator, pytest.raises(PoseError, match="has sha256"):
        estimator.estimate(np.zeros((64, 64, 3), np.uint8))


def test_another_layout_is_refused() -> None:
    with PoseEstimator() as estimator, pytest.raises(InputError, match="HWC RGB uint8"):
        estimator.estimate(np.zeros((64, 64), np.uint8))


# ---- MediaPipe on people


@pytest.mark.samples
def test_driving_video_is_followed_and_repeats_bit_for_bit(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = _read_video(shared / "samples/tpc-official/driving.mp4", side=256)
    posed = list(estimate_poses(_frames(images)))
    found = [one for one in posed if one.body is not None]
    assert len(posed) == 93 and len(found) >= 92
    overlaps = []
    for one in found:
        assert one.body is not None
        path = shared / f"samples/tpc-official/target_masks/{one.frame.index:03d}.png"
        target = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (256, 256), interpolation=cv2.INTER_NEAREST)
        own, theirs = one.body.silhouette >= 128, target >= 128
        overlaps.append((own & theirs).sum() / (own | theirs).sum())
        assert one.body.visibility.min() >= 0 and one.body.visibility.max() <= 1
    assert np.mean(overlaps) >= 0.87
    again = list(estimate_poses(_frames(images[:30])))
    for one, other in zip(posed, again, strict=False):
        assert one.body is not None and other.body is not None
        assert np.array_equal(one.body.keypoints, other.body.keypoints)
        assert np.array_equal(one.body.visibility, other.body.visibility)
        assert np.array_equal(one.body.silhouette, other.body.silhouette)
    assert capfd.readouterr().err == ""


@pytest.mark.samples
@pytest.mark.parametrize("degrees", [90.0, 180.0])
def test_a_turned_driving_video_is_followed_too(shared: Path, degrees: float) -> None:
    images = _read_video(shared / "samples/tpc-official/driving.mp4", side=256)[::8]
    turn = turn_for(256, 256, degrees=degrees)
    posed = list(estimate_poses(_frames([turn_image(image, turn) for image in images])))
    angles = [torso_angle_degrees(one.body) for one in posed if one.body is not None]
    assert len(angles) == len(images)
    assert max(abs((angle - degrees + 180) % 360 - 180) for angle in angles) < 6
