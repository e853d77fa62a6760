from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic import calibrated
from tpc_stream.errors import InputError
from tpc_stream.window import check_window, crossfade, windows


def cut(count: int, *, length: int, overlap: int) -> list[tuple[int, int, int]]:
    found = windows(calibrated(count), length=length, overlap=overlap)
    return [(w.indices.start, w.indices.stop, w.carried) for w in found]


def test_windows_start_every_stride_and_the_last_may_be_short() -> None:
    assert cut(10, length=4, overlap=0) == [(0, 4, 0), (4, 8, 0), (8, 10, 0)]
    assert cut(10, length=4, overlap=2) == [(0, 4, 0), (2, 6, 2), (4, 8, 2), (6, 10, 2)]
    assert cut(11, length=4, overlap=2) == [(0, 4, 0), (2, 6, 2), (4, 8, 2), (6, 10, 2), (8, 11, 2)]


def test_no_window_holds_carried_frames_alone() -> None:
    assert cut(8, length=8, overlap=4) == [(0, 8, 0)]
    assert cut(3, length=8, overlap=4) == [(0, 3, 0)]
    assert cut(0, length=8, overlap=4) == []


def test_a_window_leaves_before_the_next_frame_is_asked_for() -> None:
    def source():
        yield from calibrated(4)
        raise AssertionError("asked for a fifth frame")

    assert len(next(windows(source(), length=4, overlap=2)).frames) == 4


def test_crossfade_is_a_ramp_that_keeps_equal_values() -> None:
    before, after = np.zeros((3, 1, 2, 2), np.float32), np.ones((3, 1, 2, 2), np.float32)
    assert crossfade(before, after)[:, 0, 0, 0].tolist() == [0.25, 0.5, 0.75]
    assert np.array_equal(crossfade(after, after), after)


@pytest.mark.parametrize(
    ("length", "overlap", "group", "message"),
    [
        (0, 0, 1, "length >= 1"),
        (8, 5, 1, "overlap <= length / 2"),
        (8, 0, 3, "try --window 9 --overlap 0"),
        (8, 2, 4, "try --window 8 --overlap 0"),
    ],
)
def test_impossible_windows_say_what_is_possible(length: int, overlap: int, group: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_window(length=length, overlap=overlap, group_size=group)
