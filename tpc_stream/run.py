"""A whole run to files: the animated video, its contact sheet, its profile and its trace."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tpc_stream.errors import InputError, SinkError, TpcStreamError
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

    On an error no half-written video is left; pictures that were written stay. Ctrl-C closes the video, which then
    holds the frames so far, and still writes the rest; before the first frame it writes nothing.
    """
    given = [reference, motion, *([options.reference_mask] if options.reference_mask else [])]
    outputs.check(inputs=given)
    info = probe(
        motion, start_seconds=options.start_seconds, end_seconds=options.end_seconds, max_frames=options.max_frames
    )
    _check_motion(info, outputs, options)
    profiler = Profiler()
    profiler.start()
    with Animator(options, profiler=profiler) as animator:
        for line in animator.plan.describe(info.rate, info.frame_count_estimate):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        portrait = animator.set_reference(reference)
        sheet = _sheet(portrait, info) if outputs.sheet else None
        stream = _encoded(animator, portrait, motion, info, outputs, sheet)
        frames, interrupted = 0, False
        try:
            for frame in show_progress(stream, total=info.frame_count_estimate, console=console):
                profiler.frame_done(frame.index, frame.captured_seconds)
                frames += 1
        except KeyboardInterrupt:
            interrupted = True
            if not frames:
                raise
        except TpcStreamError:
            if frames and not outputs.as_pictures:
                Path(outputs.path).unlink(missing_ok=True)
            raise
        finally:
            stream.close()
        with _uninterrupted():
            _note(profiler, animator, reference, motion, info)
            session = profiler.session(fps=float(info.rate) if info.rate else None)
            console.print(render_table(session))
            for line in _findings(animator, frames, interrupted):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            written = [Path(outputs.path), *_write_companions(outputs, session, sheet)]
            console.print("wrote " + ", ".join(map(str, written)), highlight=False, markup=False, soft_wrap=True)
    return RunResult(frames=frames, interrupted=interrupted, written=tuple(written), session=session)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits: what is written at the end takes less than a second, and half of it helps nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_motion(info: SourceInfo, outputs: OutputOptions, options: AnimateOptions) -> None:
    """What can be known to fail before the reference is prepared."""
    if info.kind == "image" and options.end_seconds is None and options.max_frames is None:
        raise InputError(f"{info.url} is a single picture: say how long it lasts with --end or --max-frames")
    if outputs.sound and info.audio_streams and not outputs.audio_track < info.audio_streams:
        raise InputError(
            f"{info.url} has {info.audio_streams} audio track(s), counted from 0; "
            f"there is no track {outputs.audio_track}"
        )
    if not outputs.as_pictures:
        write_video((), outputs.path, config=_sink_config(info, outputs))  # checks when called, and runs nothing


def _sink_config(info: SourceInfo, outputs: OutputOptions) -> SinkConfig:
    return SinkConfig(
        codec=outputs.settled_codec,
        crf=outputs.crf,
        frame_rate=info.rate or Fraction(25),
        faststart=outputs.faststart,
    )


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
    sound = _sound(motion, info, outputs, animator.options)
    writing = partial(write_video, path=outputs.path, config=_sink_config(info, outputs), sound=sound)
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
            subset=sys.intern(" ".join(calibration.subset_names)),
            status=calibration.status,
            reason=calibration.reason,
        )
        yield frame


def _write_companions(outputs: OutputOptions, session: Session, sheet: ContactSheet | None) -> list[Path]:
    written = []
    try:
        if outputs.report:
            write_json(session, outputs.profile_path)
            write_trace(session, outputs.trace_path)
            written += [outputs.profile_path, outputs.trace_path]
        if sheet is not None:
            sheet.save(outputs.sheet_path)
            written.append(outputs.sheet_path)
    except SinkError as error:
        raise SinkError(f"{error}; {outputs.path} itself is complete") from error
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
    lines = [f"interrupted after {frames} frames, which are written and playable"] if interrupted else []
    total = sum(calibration.frames.values())
    fallen = [f"{count} {name}" for name, count in calibration.frames.items() if name != "fresh" and count]
    if fallen:
        why = ", ".join(f"{reason} ({count})" for reason, count in calibration.reasons.most_common())
        lines.append(f"calibration of {total} frames: {', '.join(fallen)}: {why}")
    return lines
