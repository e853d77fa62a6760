"""Where one chunk hands over to the next, nothing jumps: with a tracker that remembers where it began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic import body, frame, portrait
from tpc_stream.bridge import Bridge, Crossing
from tpc_stream.calibrate import CalibrationConfig, CalibrationReport, calibrate
from tpc_stream.frame import CalibratedFrame, Frame, PosedFrame, Similarity

BRIDGE = Bridge(begins=8, leaves=8, arrives=12)


def drifting(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    """A person who stands still; the tracker is off by as many pixels as the number of its first frame, for ever."""
    first: int | None = None
    for item in frames:
        first = item.index if first is None else first
        yield PosedFrame(item, body(move=Similarity(1.0, 0.0, (float(first), 0.0))))


def crossed(*, lost: tuple[int, ...] = ()) -> list[CalibratedFrame]:
    crossing = Crossing(BRIDGE)
    posed = crossing.poses(map(frame, range(16)), stage=drifting)
    posed = (replace(item, body=None) if item.frame.index in lost else item for item in posed)
    return list(crossing.calibrate(posed, portrait(), config=CalibrationConfig(), report=CalibrationReport()))


def test_poses_and_transforms_go_over_evenly() -> None:
    items = crossed()
    places = [float(item.body.keypoints[0, 0]) for item in items if item.body is not None]
    assert np.diff(places) == pytest.approx([0.0] * 7 + [8 / 5] * 5 + [0.0] * 3, abs=1e-4)
    shifts = [item.calibration.transform.matrix[0, 2] for item in items]
    assert np.diff(shifts) == pytest.approx([0.0] * 7 + [8 / 5] * 5 + [0.0] * 3, abs=0.35)


def test_it_arrives_at_what_the_next_chunk_finds_to_the_bit() -> None:
    alone = list(calibrate(drifting(map(frame, range(8, 16))), portrait()))
    for ours, theirs in zip(crossed()[12:], alone[4:], strict=True):
        np.testing.assert_array_equal(ours.calibration.transform.matrix, theirs.calibration.transform.matrix)
        assert ours.body is not None and theirs.body is not None
        np.testing.assert_array_equal(ours.body.keypoints, theirs.body.keypoints)


def test_before_the_bridge_nothing_changes() -> None:
    alone = list(calibrate(drifting(map(frame, range(16))), portrait()))
    for ours, theirs in zip(crossed()[:8], alone[:8], strict=True):
        np.testing.assert_array_equal(ours.calibration.transform.matrix, theirs.calibration.transform.matrix)


def test_where_one_of_them_finds_nobody_the_nearer_holds() -> None:
    items = crossed(lost=(8, 11))
    assert items[8].body is None and items[8].calibration.status == "held"
    assert items[11].body is not None and items[11].calibration.status == "fresh"
