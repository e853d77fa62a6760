"""The Python API, with the shipped reference, the real stages and a tiny bundle."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tpc_stream
from tests.synthetic import body, frame
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.errors import EngineError, InputError, PortraitError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.pipeline import Animator
from tpc_stream.source import read_picture


def stick_poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    """An estimator of the user's own."""
    for item in frames:
        height, width = item.image.shape[:2]
        yield PosedFrame(item, body(width, height))


def options(tiny: Path, **choices: object) -> tpc_stream.AnimateOptions:
    return tpc_stream.AnimateOptions(bundle=tiny, **choices)


def test_animate_yields_a_frame_for_every_frame(tiny: Path, reference: Path, project: Path) -> None:
    motion = project / "tpc_stream" / "assets" / "demo_motion.mp4"
    made = list(tpc_stream.animate(reference, motion, options=options(tiny, max_frames=10)))
    assert [item.index for item in made] == list(range(10))
    assert [float(item.pts_seconds) for item in made] == pytest.approx([k / 25 for k in range(10)])
    assert all(item.image.shape == (32, 32, 3) and item.image.dtype == np.uint8 for item in made)
    assert all(item.source.calibration.iou > 0.3 for item in made)
    assert all(item.source.calibration.status == "fresh" for item in made)


def test_one_reference_serves_many_motions_and_frames_of_ones_own(tiny: Path, reference: Path) -> None:
    with Animator(options(tiny), pose_stage=stick_poses) as animator:
        animator.set_reference(reference)
        first = [item.image for item in animator.animate(frame(k) for k in range(9))]
        second = [item.image for item in animator.animate(frame(k) for k in range(9))]
    assert len(first) == 9
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_reference_may_be_an_array_and_its_alpha_the_mask(tiny: Path, reference: Path) -> None:
    image, _ = read_picture(reference)
    with Animator(options(tiny)) as animator:
        mask = animator.set_reference(image).mask
        height, width = image.shape[:2]
        alpha = np.zeros((height, width, 1), np.uint8)
        alpha[:, width // 4 : width * 3 // 4] = 255
        given = animator.set_reference(np.concatenate([image, alpha], axis=2)).mask
    assert mask.shape == given.shape == (256, 256)
    assert given[:, 80:170].min() > 200 and given[:, :50].max() == 0
    assert 0.03 < (mask > 127).mean() < 0.5


def test_mistakes_of_the_caller_are_named(tiny: Path, reference: Path) -> None:
    with Animator(options(tiny)) as animator:
        with pytest.raises(InputError, match="set_reference"):
            animator.animate([])
        with pytest.raises(InputError, match=r"HWC RGB or RGBA uint8.*float64"):
            animator.set_reference(np.zeros((4, 4, 3)))
        with pytest.raises(PortraitError, match="the reference"):
            animator.set_reference(np.full((64, 64, 3), 128, np.uint8))


def test_an_error_in_a_stage_reaches_the_caller_and_ends_every_thread(tmp_path: Path, reference: Path) -> None:
    before = threading.active_count()
    with Animator(options(make_tiny_bundle(tmp_path / "nan", nan=True)), pose_stage=stick_poses) as animator:
        animator.set_reference(reference)
        with pytest.raises(EngineError, match="NaN"):
            list(animator.animate(frame(k) for k in range(100)))
    assert threading.active_count() == before


def test_leaving_early_closes_the_source_and_ends_every_thread(tiny: Path, reference: Path) -> None:
    before = threading.active_count()
    closed = threading.Event()

    def source() -> Iterator[Frame]:
        try:
            for k in range(100_000):
                yield frame(k)
        finally:
            closed.set()

    with Animator(options(tiny), pose_stage=stick_poses) as animator:
        animator.set_reference(reference)
        stream = animator.animate(source())
        assert next(stream).index == 0
        stream.close()
    assert closed.wait(5)
    assert threading.active_count() == before


def test_the_face_of_the_package_is_complete_and_light() -> None:
    for name in tpc_stream.__all__:
        assert getattr(tpc_stream, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tpc_stream.nothing
