"""The JSON that `tpc-stream calibrate` writes: what holds for the run, then one object a frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tpc_stream.calibrate import CalibrationReport
from tpc_stream.calibration_record import CalibrationRecord
from tpc_stream.calibrator import Calibrator
from tpc_stream.errors import SinkError
from tpc_stream.source import SourceInfo
from tpc_stream.writing.whole_file import write_whole

VERSION = 1
"""It grows where a field changes its meaning."""

COORDINATES = (
    "y = scale * R(angle) x + translation: from the reference as it lies on a canvas of width x height pixels, to the "
    "frame on the same canvas; x to the right, y down, pixel centres at .5; a positive angle turns clockwise on the "
    "screen; canvas_from_reference lays the reference's own pixels onto the canvas"
)


def document_head(
    calibrator: Calibrator,
    report: CalibrationReport,
    *,
    reference: str | Path,
    motion: str | Path,
    info: SourceInfo,
    interrupted: bool,
) -> dict[str, Any]:
    """What the frames' figures need to be understood, and what became of them all."""
    height, width = calibrator.portrait.mask.shape
    placement, options = calibrator.placement, calibrator.options
    return {
        "made_by": f"tpc-stream {version('tpc-stream')}",
        "reference": str(reference),
        "motion": str(motion),
        "width": width,
        "height": height,
        "coordinates": COORDINATES,
        "reference_size": [placement.source_width, placement.source_height],
        "canvas_from_reference": [[placement.scale[0], 0.0, placement.left], [0.0, placement.scale[1], placement.top]],
        "motion_size": [info.width, info.height],
        "transform": options.transform,
        "steady_tolerance": options.steady_tolerance,
        "fit": options.fit,
        "hold_seconds": options.hold_seconds,
        "min_visibility": options.min_visibility,
        "start_seconds": options.start_seconds,
        "interrupted": interrupted,
        "frame_count": report.frames.total(),
        "fresh": report.frames["fresh"],
        "held": report.frames["held"],
        "uncalibrated": report.frames["uncalibrated"],
        "mean_iou": report.mean_iou if report.frames["fresh"] else None,
    }


def document_pieces(head: Mapping[str, Any], records: Iterable[CalibrationRecord]) -> Iterator[bytes]:
    """The document in pieces, a line a frame; ASCII, as a file's name need not be UTF-8, and without NaN."""
    text = json.dumps({"version": VERSION, **head}, allow_nan=False)
    yield text[:-1].encode("ascii") + b', "frames": ['
    for number, record in enumerate(records):
        yield (b",\n  " if number else b"\n  ") + json.dumps(record.row(), allow_nan=False).encode("ascii")
    yield b"\n]}\n"


def write_document(path: Path, head: Mapping[str, Any], records: Iterable[CalibrationRecord]) -> None:
    """Write the document whole, or nothing. Raises SinkError where the file cannot be written."""
    try:
        write_whole(path, document_pieces(head, records))
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; give another --json") from error
