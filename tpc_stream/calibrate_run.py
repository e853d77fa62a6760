"""A whole calibration to files: the video that explains it, the contact sheet, the JSON, the pictures and masks."""

from __future__ import annotations

from array import array
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console

from tpc_stream.calibrate import CalibrationReport
from tpc_stream.calibrate_options import CalibrateOptions, CalibrateOutputs
from tpc_stream.calibration_document import document_head, write_document
from tpc_stream.calibration_picture import CalibrationPicture
from tpc_stream.calibration_record import CalibrationRecord, findings
from tpc_stream.calibration_sheet import CalibrationSheet
from tpc_stream.calibrator import Calibrator
from tpc_stream.errors import SinkError, TpcStreamError
from tpc_stream.frame import AnimatedFrame, CalibratedFrame
from tpc_stream.given_masks import GivenMasks
from tpc_stream.interrupt import Terminated, terminable, uninterrupted
from tpc_stream.motion import Motion, open_motion
from tpc_stream.progress import show_progress
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import SourceInfo
from tpc_stream.writing.pictures import write_pictures, write_png


@dataclass(slots=True)
class CalibrationRun:
    """What a calibration did."""

    frames: int = 0
    interrupted: bool = False
    terminated: bool = False
    """By SIGTERM, not by Ctrl-C."""
    report: CalibrationReport = field(default_factory=CalibrationReport)
    """Of the frames that were written; the threads behind may be some frames ahead."""
    records: list[CalibrationRecord] = field(default_factory=list)
    """Every frame's, where a JSON is wanted: about half a kilobyte each."""
    search_ms: array[float] = field(default_factory=lambda: array("f"))
    """Of every frame with a person."""
    lowest: tuple[float, int] = (1.0, -1)
    """The least IoU of a frame with a transform of its own, and its index."""
    written: list[str] = field(default_factory=list)


def run_calibration(
    reference: str | Path,
    motion: str | Path,
    outputs: CalibrateOutputs,
    *,
    options: CalibrateOptions,
    console: Console,
) -> CalibrationRun:
    """Calibrates to files and tells the console the progress and what came out.

    On an error no half-written video is left; pictures that were written stay. Ctrl-C closes the video, which then
    holds the frames so far, and still writes the rest; before the first frame it writes nothing. SIGTERM does the same.
    """
    given = [reference, motion, options.reference_mask, options.target_masks]
    outputs.check(inputs=[path for path in given if path])
    masks = GivenMasks.of(options.target_masks) if options.target_masks else None
    with terminable(), closing(_open(motion, options)) as driving:
        return _run(reference, driving, masks, outputs, options, console)


def _open(motion: str | Path, options: CalibrateOptions) -> Motion:
    start, end = options.start_seconds, options.end_seconds
    opened = open_motion(motion, start_seconds=start, end_seconds=end, max_frames=options.max_frames)
    if opened.live or opened.info.kind != "image" or (end, options.max_frames) != (None, None):
        return opened
    opened.close()
    return open_motion(motion, start_seconds=start, max_frames=1)  # one picture is one frame


def _run(
    reference: str | Path,
    driving: Motion,
    masks: GivenMasks | None,
    outputs: CalibrateOutputs,
    options: CalibrateOptions,
    console: Console,
) -> CalibrationRun:
    info = driving.info
    if outputs.video and not outputs.as_pictures:
        write_video((), outputs.video, config=_sink_config(info, outputs))  # checks when called, and runs nothing
    width, height = options.size or (info.width, info.height)
    calibrator = Calibrator.of(reference, options, width=width, height=height)
    run = CalibrationRun()
    sheet = _sheet(calibrator, info) if outputs.sheet else None
    stream = _written(calibrator, driving, masks, outputs, sheet)
    try:
        for frame in show_progress(stream, total=info.frame_count_estimate, console=console):
            run.frames += 1
            _record(frame.source, outputs, run)
    except KeyboardInterrupt as signalled:
        run.interrupted, run.terminated = True, isinstance(signalled, Terminated)
        if not run.frames:
            raise
    except TpcStreamError:
        if run.frames and outputs.video and not outputs.as_pictures:
            Path(outputs.video).unlink(missing_ok=True)
        raise
    finally:
        driving.stop()
        stream.close()
    with uninterrupted():
        run.written += [outputs.video] if outputs.video else []
        run.written += [f"{outputs.folder}/calibrated, {outputs.folder}/masks"] if outputs.folder else []
        if sheet is not None and outputs.sheet:
            sheet.save(outputs.sheet)
            run.written.append(outputs.sheet)
        if outputs.json:
            head = document_head(
                calibrator, run.report, reference=reference, motion=info.url, info=info, interrupted=run.interrupted
            )
            write_document(Path(outputs.json), head, run.records)
            run.written.append(outputs.json)
        for line in _summary(run):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    return run


def _sheet(calibrator: Calibrator, info: SourceInfo) -> CalibrationSheet:
    return CalibrationSheet(
        calibrator.portrait,
        expected_frames=info.frame_count_estimate,
        visible_from=calibrator.options.min_visibility,
    )


def _sink_config(info: SourceInfo, outputs: CalibrateOutputs) -> SinkConfig:
    return SinkConfig(codec=outputs.settled_codec, crf=outputs.crf, frame_rate=info.rate or Fraction(25))


def _written(
    calibrator: Calibrator,
    driving: Motion,
    masks: GivenMasks | None,
    outputs: CalibrateOutputs,
    sheet: CalibrationSheet | None,
) -> Generator[AnimatedFrame, None, None]:
    """The frames, recorded, drawn, and encoded where a video is wanted."""
    frames = _drawn(calibrator, driving, masks, outputs, sheet)
    if not outputs.video:
        yield from frames
    elif outputs.as_pictures:
        yield from write_pictures(frames, outputs.video)
    else:
        yield from write_video(frames, outputs.video, config=_sink_config(driving.info, outputs))


def _drawn(
    calibrator: Calibrator,
    driving: Motion,
    masks: GivenMasks | None,
    outputs: CalibrateOutputs,
    sheet: CalibrationSheet | None,
) -> Generator[AnimatedFrame, None, None]:
    painter = None
    if outputs.video:
        painter = CalibrationPicture(
            calibrator.portrait,
            expected_frames=driving.info.frame_count_estimate,
            visible_from=calibrator.options.min_visibility,
        )
    if outputs.folder:
        _make_folder(outputs)
    for item in calibrator.frames(driving, masks=masks):
        drawn = item.frame.image
        if outputs.draws:
            image, mask = calibrator.full.calibrated(item.calibration.transform)
            if outputs.folder:
                write_png(outputs.mask_path(item.frame.index), mask)
                write_png(outputs.calibrated_path(item.frame.index), image)
            if sheet is not None:
                sheet.add(item, image, mask)
            if painter is not None:
                drawn = painter.draw(item, image, mask)
        frame = item.frame
        yield AnimatedFrame(frame.index, frame.pts_seconds, drawn, frame.captured_seconds, item)


def _make_folder(outputs: CalibrateOutputs) -> None:
    folder = Path(outputs.folder or "")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}; give another --out-dir") from error


def _record(item: CalibratedFrame, outputs: CalibrateOutputs, run: CalibrationRun) -> None:
    record = CalibrationRecord.of(item)
    if outputs.json:
        run.records.append(record)
    if record.search_ms is not None:
        run.search_ms.append(record.search_ms)
    run.report.frames[record.status] += 1
    if record.status == "fresh" and record.iou is not None:
        run.report.iou_sum += record.iou
        run.lowest = min(run.lowest, (record.iou, record.index))
    else:
        run.report.reasons[record.reason.partition(": ")[0]] += 1


def _summary(run: CalibrationRun) -> list[str]:
    """What came out, in words."""
    report = run.report
    lines = [f"interrupted after {run.frames} frames, which are written"] if run.interrupted else []
    if report.frames["fresh"]:
        lowest, index = run.lowest
        median, high = np.percentile(np.frombuffer(run.search_ms, np.float32), [50, 90])
        lines.append(
            f"{run.frames} frames: mean IoU {report.mean_iou:.3f}, lowest {lowest:.3f} at frame {index}; "
            f"search {median:.1f} ms a frame (median), {high:.1f} ms (90th percentile)"
        )
    lines += findings(report)
    if run.written:
        lines.append("wrote " + ", ".join(run.written))
    return lines
