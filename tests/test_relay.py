"""Parts of one motion: nothing jumps where one hands over to the next, and each is what it would be alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic import body, frame, portrait
from tpc_stream.bridge import Bridge
from tpc_stream.calibrate import CalibrationConfig, CalibrationReport, calibrate
from tpc_stream.errors import InputError
from tpc_stream.frame import CalibratedFrame, Frame, PosedFrame, Similarity
from tpc_stream.part import WHOLE, Part
from tpc_stream.relay import PartFrame, PosedViews, Relay

FIRST = Part(range(16), range(16), range(12), Bridge(begins=8, leaves=8, arrives=12))
SECOND = Part(range(8, 28), range(10, 28), range(12, 24), Bridge(begins=20, leaves=20, arrives=24))
THIRD = Part(range(20, 32), range(22, 32), range(24, 32))
PARTS = (FIRST, SECOND, THIRD)


def drifting(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    """A person who stands still; the tracker is off by as many pixels as the number of its first frame, for ever."""
    first: int | None = None
    for item in frames:
        first = item.index if first is None else first
        yield PosedFrame(item, body(move=Similarity(1.0, 0.0, (float(first), 0.0))))


def without(views: PosedViews, by: range) -> PosedViews:
    """The frame where the runs `by` find nobody."""
    return replace(views, posed={k: replace(v, body=None) if k in by else v for k, v in views.posed.items()})


def related(*parts: Part, lost: tuple[int, ...] = (), by: range = range(3)) -> list[PartFrame]:
    relay = Relay(parts)
    frames = (frame(index) for index in range(parts[0].read.start, parts[-1].read.stop))
    seen = relay.poses(frames, stage=drifting)
    posed = (without(views, by) if views.frame.index in lost else views for views in seen)
    return list(relay.calibrate(posed, portrait(), config=CalibrationConfig(), report=CalibrationReport()))


def equal(one: CalibratedFrame, other: CalibratedFrame) -> bool:
    a, b = one.body, other.body
    bodies = a is b is None or (a is not None and b is not None and np.array_equal(a.keypoints, b.keypoints))
    matrices = one.calibration.transform.matrix, other.calibration.transform.matrix
    return bodies and one.frame.index == other.frame.index and np.array_equal(*matrices)


def test_poses_and_transforms_go_over_evenly() -> None:
    items = [item.item for item in related(FIRST)]
    places = [float(item.body.keypoints[0, 0]) for item in items if item.body is not None]
    assert np.diff(places) == pytest.approx([0.0] * 7 + [8 / 5] * 5 + [0.0] * 3, abs=1e-4)
    shifts = [item.calibration.transform.matrix[0, 2] for item in items]
    assert np.diff(shifts) == pytest.approx([0.0] * 7 + [8 / 5] * 5 + [0.0] * 3, abs=0.35)


def test_it_arrives_at_what_the_next_part_finds_to_the_bit() -> None:
    alone = list(calibrate(drifting(map(frame, range(8, 16))), portrait()))
    assert all(equal(ours.item, theirs) for ours, theirs in zip(related(FIRST)[12:], alone[4:], strict=True))


def test_before_the_bridge_nothing_changes() -> None:
    alone = list(calibrate(drifting(map(frame, range(16))), portrait()))
    assert all(equal(ours.item, theirs) for ours, theirs in zip(related(FIRST)[:8], alone[:8], strict=True))


def test_where_one_of_them_finds_nobody_the_nearer_holds() -> None:
    items = [item.item for item in related(FIRST, lost=(8, 11), by=range(1))]
    assert items[8].body is None and items[8].calibration.status == "held"
    assert items[11].body is not None and items[11].calibration.status == "fresh"


@pytest.mark.parametrize("lost", [(), (9, 10, 11, 12), (21,), tuple(range(7, 26))])
def test_parts_in_one_go_are_what_each_is_alone(lost: tuple[int, ...]) -> None:
    together, alone = related(*PARTS, lost=lost), [item for part in PARTS for item in related(part, lost=lost)]
    assert [item.part for item in together] == [item.part for item in alone]
    assert [item.index for item in together] == [*range(16), *range(8, 28), *range(20, 32)]
    assert all(equal(ours.item, theirs.item) for ours, theirs in zip(together, alone, strict=True))


def test_each_tracker_runs_once_and_no_longer_than_it_is_needed() -> None:
    seen: list[list[int]] = []

    def noting(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        seen.append([])
        mine = seen[-1]
        for item in frames:
            mine.append(item.index)
            yield PosedFrame(item, body())

    assert len(list(Relay(PARTS).poses(map(frame, range(32)), stage=noting))) == 32
    assert seen == [list(range(12)), list(range(8, 24)), list(range(20, 32))]


def test_a_part_looks_on_where_the_next_is_so_short_that_it_has_gone_over_already() -> None:
    short = Part(range(8, 18), range(10, 18), range(12, 14), Bridge(begins=10, leaves=12, arrives=14))
    last = Part(range(10, 20), range(12, 20), range(14, 20))
    together = related(FIRST, short, last)
    assert [item.index for item in together] == [*range(16), *range(8, 18), *range(10, 20)]
    alone = [item for part in (FIRST, short, last) for item in related(part)]
    assert all(equal(ours.item, theirs.item) for ours, theirs in zip(together, alone, strict=True))


def test_a_part_leaves_as_soon_as_it_can() -> None:
    """A frame waits for the end of the part before it, and for nothing else."""
    pulled: list[int] = []

    def pulling() -> Iterator[Frame]:
        for index in range(32):
            pulled.append(index)
            yield frame(index)

    relay = Relay(PARTS)
    posed = relay.poses(pulling(), stage=drifting)
    calibrated = relay.calibrate(posed, portrait(), config=CalibrationConfig(), report=CalibrationReport())
    waits = [pulled[-1] - item.index for item in calibrated]
    assert waits == [0] * 16 + [15 - k for k in range(8, 16)] + [0] * 12 + [27 - k for k in range(20, 28)] + [0] * 4


def test_parts_follow_one_another() -> None:
    with pytest.raises(InputError, match="follow one another"):
        Relay((FIRST, THIRD))
    with pytest.raises(InputError, match="follow one another"):
        Relay((WHOLE, SECOND))
