"""A whole run to files: the animated video, its contact sheet, its profile and its trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tpc_stream.errors import TpcStreamError
from tpc_stream.frame import AnimatedFrame, Portrait
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions
from tpc_stream.pipeline import Animator
from tpc_stream.procrustes import warp
from tpc_stream.profile import ProfiledStage, Profiler, Session
from tpc_stream.progress import show_progress
from tpc_stream.recording.machine import describe_machine
from tpc_stream.report import render_table, write_json
from tpc_stream.sheet import ContactSheet, collect
from tpc_stream.sidebyside import side_by_side
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import SourceInfo, probe
from tpc_stream.trace import write_trace
from tpc_stream.writing.pictures import write_pictures
from tpc_stream.writing.sound import SoundSource


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did."""

    frames: int
    interrupted: bool
    written: tuple[Path, ...]
    session: Session


def run(
    reference: str | Path, motion: str | Path, outputs: OutputOptions, *, options: AnimateOptions, console: Console
) -> RunResult:
    """Animates to files and tells the console the plan, the progress and where the time went.

    On an error nothing is left behind. Ctrl-C closes the video, which then holds the frames so far, and still
    writes the rest.
    """
    outputs.check(inputs=[reference, motion])
    profiler = Profiler()
    profiler.start()
    with Animator(options, profiler=profiler) as animator:
        portrait = animator.set_reference(reference)
        info = probe(
            motion, start_seconds=options.start_seconds, end_seconds=options.end_seconds, max_frames=options.max_frames
        )
        for line in animator.plan.describe(info.rate, info.frame_count_estimate):
            console.print(line, highlight=False)
        sheet = _sheet(portrait, info) if outputs.sheet else None
        stream = _encoded(animator, portrait, motion, info, outputs, sheet)
        frames, interrupted = 0, False
        try:
            for frame in show_progress(stream, total=info.frame_count_estimate, console=console):
                profiler.frame_done(frame.index, frame.captured_seconds)
                frames += 1
        except KeyboardInterrupt:
            interrupted = True
        except TpcStreamError:
            if frames and not outputs.as_pictures:
                Path(outputs.path).unlink(missing_ok=True)
            raise
        finally:
            stream.close()
        _note(profiler, animator, reference, motion, info)
        session = profiler.session(fps=float(info.rate) if info.rate else None)
        written = [Path(outputs.path)] if frames else []
        written += _write_companions(outputs, session, sheet if frames else None)
        console.print(render_table(session))
        for line in _findings(animator, frames, interrupted):
            console.print(line, highlight=False)
        console.print("wrote " + ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    return RunResult(frames=frames, interrupted=interrupted, written=tuple(written), session=session)


def _encoded(
    animator: Animator,
    portrait: Portrait,
    motion: str | Path,
    info: SourceInfo,
    outputs: OutputOptions,
    sheet: ContactSheet | None,
) -> ProfiledStage[AnimatedFrame]:
    """The animated frames, recorded, laid out and encoded."""
    profiler = animator.profiler
    stream: Iterator[AnimatedFrame] = _recorded(animator.animate(motion), profiler)
    if sheet is not None:
        stream = profiler.stage("sheet", partial(collect, sheet=sheet), stream)
    if outputs.side_by_side:
        lay_out = partial(side_by_side, portrait=portrait, calibrated=partial(_calibrated_picture, portrait))
        stream = profiler.stage("side by side", lay_out, stream)
    if outputs.as_pictures:
        return profiler.stage("encode", partial(write_pictures, path=outputs.path), stream)
    rate = info.rate or Fraction(25)
    config = SinkConfig(codec=outputs.codec, crf=outputs.crf, frame_rate=rate, faststart=outputs.faststart)
    writing = partial(
        write_video, path=outputs.path, config=config, sound=_sound(motion, info, outputs, animator.options)
    )
    return profiler.stage("encode", writing, stream)


def _sound(motion: str | Path, info: SourceInfo, outputs: OutputOptions, options: AnimateOptions) -> SoundSource | None:
    if not outputs.sound or not info.audio_streams or info.live:
        return None
    start = info.origin_seconds + Fraction(options.start_seconds)
    end = None if options.end_seconds is None else info.origin_seconds + Fraction(options.end_seconds)
    return SoundSource(str(motion), track=outputs.audio_track, start_seconds=start, end_seconds=end)


def _sheet(portrait: Portrait, info: SourceInfo) -> ContactSheet:
    return ContactSheet(
        portrait=portrait,
        calibrated=partial(_calibrated_picture, portrait),
        expected_frames=info.frame_count_estimate,
    )


def _calibrated_picture(portrait: Portrait, frame: AnimatedFrame) -> Any:
    height, width = portrait.mask.shape
    transform = frame.source.calibration.transform
    return warp(portrait.image, portrait.mask, transform, width=width, height=height)[0]


def _recorded(frames: Iterator[AnimatedFrame], profiler: Profiler) -> Iterator[AnimatedFrame]:
    """Keeps each frame's calibration in the profile."""
    for frame in frames:
        calibration = frame.source.calibration
        x, y = calibration.transform.translation_pixels
        profiler.frame_record(
            frame.index,
            pts_seconds=float(frame.pts_seconds),
            iou=calibration.iou,
            scale=calibration.transform.scale,
            angle_radians=calibration.transform.angle_radians,
            translation_x_pixels=x,
            translation_y_pixels=y,
            subset=" ".join(calibration.subset_names),
            status=calibration.status,
            reason=calibration.reason,
        )
        yield frame


def _write_companions(outputs: OutputOptions, session: Session, sheet: ContactSheet | None) -> list[Path]:
    written = []
    if outputs.report:
        write_json(session, outputs.profile_path)
        write_trace(session, outputs.trace_path)
        written += [outputs.profile_path, outputs.trace_path]
    if sheet is not None:
        sheet.save(outputs.sheet_path)
        written.append(outputs.sheet_path)
    return written


def _note(profiler: Profiler, animator: Animator, reference: str | Path, motion: str | Path, info: SourceInfo) -> None:
    """Keeps what a figure needs to be understood later: the options, the machine, the versions."""
    report, calibrated = animator.source_report, animator.calibration_report
    for name, count in calibrated.frames.items():
        profiler.count(f"calibration {name}", count)
    profiler.count("corrupt packets", report.corrupt_packets)
    profiler.count("frames missing", report.frames_missing)
    profiler.note(
        reference=str(reference),
        motion=str(motion),
        motion_size=[info.width, info.height],
        options={
            key: str(value) if isinstance(value, Path) else value for key, value in asdict(animator.options).items()
        },
        plan=asdict(animator.plan),
        bundle={"name": animator.bundle.manifest.name, "version": animator.bundle.manifest.version},
        backend=animator.backend_description,
        machine=describe_machine(),
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def _findings(animator: Animator, frames: int, interrupted: bool) -> list[str]:
    """What a user should know about the run, in words; nothing where all went well."""
    calibration = animator.calibration_report
    lines = [f"interrupted after {frames} frames; the file holds them and is playable"] if interrupted else []
    total = sum(calibration.frames.values())
    fallen = [f"{count} {name}" for name, count in calibration.frames.items() if name != "fresh" and count]
    if fallen:
        why = ", ".join(f"{reason} ({count})" for reason, count in calibration.reasons.most_common())
        lines.append(f"calibration of {total} frames: {', '.join(fallen)}: {why}")
    return lines
