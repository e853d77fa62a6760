from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.synthetic import calibrated
from tpc_stream.context_windows import uniform_windows
from tpc_stream.errors import InputError
from tpc_stream.window import windows


@pytest.mark.samples
def test_whole_clip_windows_are_the_published_ones(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "context" / "uniform_windows.json").read_text())
    assert len(cases) == 150
    for case in cases:
        found = uniform_windows(
            case["num_frames"], size=case["context_size"], overlap=case["context_overlap"],
            stride=case["context_stride"], step=case["step"], closed=case["closed_loop"],
        )  # fmt: skip
        assert [list(window) for window in found] == case["windows"], case


@pytest.mark.parametrize(("size", "overlap"), [(16, 4), (24, 4), (8, 0)])
def test_a_stream_has_the_same_windows_until_they_run_around(size: int, overlap: int) -> None:
    for frames in (size + 1, 32, 40, 75, 96):
        streamed = [tuple(w.indices) for w in windows(calibrated(frames), length=size, overlap=overlap)]
        whole = list(uniform_windows(frames, size=size, overlap=overlap))
        straight = [w for w in whole if w[-1] == w[0] + len(w) - 1]
        assert straight == [w for w in streamed if len(w) == size]
        # what runs around begins with the frames that the stream's last, shorter window holds
        for around, last in zip(whole[len(straight) :], streamed[len(straight) :], strict=False):
            assert around[: len(last)] == last
        assert {k for w in streamed for k in w} == set(range(frames))


def test_windows_of_one_clip() -> None:
    found = list(uniform_windows(32, size=16, overlap=4))
    assert [(w[0], w[-1]) for w in found] == [(0, 15), (12, 27), (24, 7)]
    assert list(uniform_windows(9, size=16, overlap=4)) == [tuple(range(9))]


@pytest.mark.parametrize("choice", [{"frames": 0}, {"overlap": 16}, {"stride": 0}, {"step": -1}])
def test_impossible_windows_are_refused(choice: dict[str, int]) -> None:
    arguments = {"frames": 32, "size": 16, "overlap": 4} | choice
    with pytest.raises(InputError, match="no windows for"):
        list(uniform_windows(arguments.pop("frames"), **arguments))
