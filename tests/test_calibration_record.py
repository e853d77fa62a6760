"""What is kept of a frame's calibration, and the JSON document of all of them."""

from __future__ import annotations

import json
import math

import pytest

from tests.synthetic import calibrated
from tpc_stream.calibrate import CalibrationReport
from tpc_stream.calibration_document import document_pieces
from tpc_stream.calibration_record import CalibrationRecord, findings
from tpc_stream.frame import IDENTITY, CalibratedFrame, Calibration, Similarity

TURNED = Similarity(1.5, -0.5, (3.0, -4.0))


def record(calibration: Calibration) -> CalibrationRecord:
    (item,) = calibrated(1, first=7)
    return CalibrationRecord.of(CalibratedFrame(item.frame, item.body, calibration))


FRESH = record(Calibration(TURNED, subset=0b10011, iou=0.75, search_seconds=0.0125))
HELD = record(Calibration(TURNED, 0, math.nan, "held", "no person found"))
UNCALIBRATED = record(Calibration(IDENTITY, 0, 0.1, "uncalibrated", "few: 1", 0.001))


def test_a_frame_as_a_row() -> None:
    assert FRESH.row() == {
        "index": 7,
        "pts_seconds": pytest.approx(0.28),
        "iou": 0.75,
        "scale": 1.5,
        "angle_radians": -0.5,
        "translation_pixels": [3.0, -4.0],
        "subset": ["nose", "left_eye", "right_ear"],
        "held": False,
        "status": "fresh",
        "reason": "",
        "search_ms": 12.5,
    }
    assert HELD.held and HELD.row()["iou"] is None and HELD.row()["search_ms"] is None and HELD.row()["subset"] == []
    assert not UNCALIBRATED.held and UNCALIBRATED.status == "uncalibrated" and UNCALIBRATED.search_ms == 1.0


def test_a_frame_as_columns_of_a_profile() -> None:
    columns = FRESH.columns()
    assert (columns["translation_x_pixels"], columns["translation_y_pixels"]) == (3.0, -4.0)
    assert columns["subset"] == "nose left_eye right_ear" and columns["held"] == 0 and columns["search_ms"] == 12.5
    assert HELD.columns()["held"] == 1 and math.isnan(float(HELD.columns()["iou"]))


def test_the_document_is_json_without_nan_whatever_the_names() -> None:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    head = {"reference": "caf\udce9.png", "width": 3}
    text = b"".join(document_pieces(head, [FRESH, HELD, UNCALIBRATED])).decode("ascii")
    document = json.loads(text, parse_constant=refused)
    assert document["version"] == 1 and document["width"] == 3 and document["reference"] == "caf\udce9.png"
    assert document["frames"] == [FRESH.row(), HELD.row(), UNCALIBRATED.row()]
    assert json.loads(b"".join(document_pieces({}, [])))["frames"] == []


def test_findings_count_what_went_wrong_and_nothing_else() -> None:
    report = CalibrationReport()
    report.frames["fresh"] = 5
    assert findings(report) == []
    report.frames.update(held=3, uncalibrated=1)
    report.reasons.update({"no person found": 3, "the person's silhouette is empty": 1})
    assert findings(report) == [
        "calibration of 9 frames: 3 held, 1 uncalibrated: no person found (3), the person's silhouette is empty (1)"
    ]
    assert findings(report, used=False)[0].startswith("calibration (unused) of 9 frames: 3 held")
