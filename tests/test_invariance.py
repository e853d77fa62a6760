"""The output does not depend on how the input was cut, on how long the run lasted, or on pauses (window schedule)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synthetic import body
from tpc_stream.frame import Frame, PosedFrame, Similarity
from tpc_stream.motion import open_motion
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.source import read_frames

Pictures = dict[int, NDArray[np.uint8]]


def poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    """People who wander: another calibration, and another pose, in each frame."""
    for item in frames:
        height, width = item.image.shape[:2]
        yield PosedFrame(item, body(width, height, move=Similarity(1.0, 0.0, (4.0 * (item.index % 5), 0.0))))


@pytest.fixture(scope="module")
def animator(tiny: Path, reference: Path) -> Iterator[Animator]:
    options = AnimateOptions(bundle=tiny, steps=2, seed=3, steady_tolerance=0.0)
    with Animator(options, pose_stage=poses) as made:
        made.set_reference(reference)
        yield made


@pytest.fixture(scope="module")
def whole(animator: Animator, motion: Path) -> Pictures:
    return collect(animator, read_frames(motion, max_frames=30))


def collect(animator: Animator, frames: Iterable[Frame]) -> Pictures:
    return {item.index: item.image for item in animator.animate(frames)}


def same(some: Pictures, whole: Pictures) -> bool:
    return all(np.array_equal(picture, whole[index]) for index, picture in some.items())


def test_pieces_of_seven_and_pauses_change_nothing(animator: Animator, motion: Path, whole: Pictures) -> None:
    def pieces() -> Iterator[Frame]:
        frames = read_frames(motion, max_frames=30)
        while piece := list(islice(frames, 7)):
            yield from piece
            time.sleep(0.05)

    made = collect(animator, pieces())
    assert list(made) == list(range(30)) and same(made, whole)


def test_a_live_source_without_drops_gives_the_same(animator: Animator, motion: Path, whole: Pictures) -> None:
    live = open_motion(motion, realtime=True, drop="none", max_frames=30)
    try:
        made = collect(animator, live)
    finally:
        live.close()
    assert list(made) == list(range(30)) and same(made, whole)


def test_a_run_may_stop_anywhere_and_go_on_at_any_window(animator: Animator, motion: Path, whole: Pictures) -> None:
    before = collect(animator, read_frames(motion, max_frames=16))
    after = collect(animator, islice(read_frames(motion, max_frames=30), 16, None))
    assert list(before) == list(range(16)) and list(after) == list(range(16, 30))
    assert same(before, whole) and same(after, whole)


def test_another_seed_gives_another_picture(tiny: Path, reference: Path, motion: Path, whole: Pictures) -> None:
    with Animator(AnimateOptions(bundle=tiny, steps=2, seed=4, steady_tolerance=0.0), pose_stage=poses) as other:
        other.set_reference(reference)
        assert not same(collect(other, read_frames(motion, max_frames=30)), whole)
