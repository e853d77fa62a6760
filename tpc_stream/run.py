"""A whole run to files: the animated video, its contact sheet, its profile and its trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tpc_stream.calibration_record import CalibrationRecord, findings
from tpc_stream.companions import write_companions
from tpc_stream.dry_run import tell_forecast, tell_plan
from tpc_stream.errors import InputError, TpcStreamError
from tpc_stream.flow import flow_findings, note_flow
from tpc_stream.frame import AnimatedFrame, Portrait
from tpc_stream.interrupt import Terminated, terminable, uninterrupted
from tpc_stream.live_table import show_live
from tpc_stream.motion import Motion, open_as
from tpc_stream.options import AnimateOptions
from tpc_stream.outputs import OutputOptions
from tpc_stream.pipeline import Animator
from tpc_stream.procrustes import warp
from tpc_stream.profile import ProfiledStage, Profiler, Session
from tpc_stream.report import render_table
from tpc_stream.run_notes import note_run
from tpc_stream.sheet import ContactSheet, collect
from tpc_stream.sidebyside import side_by_side
from tpc_stream.sinks import check_sink, preview_stage, sink_stage, watched
from tpc_stream.source import SourceInfo
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.steady import DeliveryReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did."""

    frames: int
    interrupted: bool
    """By Ctrl-C or SIGTERM."""
    terminated: bool
    """By SIGTERM."""
    written: tuple[Path, ...]
    session: Session


def run(
    reference: str | Path,
    motion: str | Path,
    outputs: OutputOptions,
    *,
    options: AnimateOptions,
    console: Console,
    measure: bool | None = None,
) -> RunResult:
    """Animates to files and tells the console the plan, the progress and where the time went.

    measure: whether the plan says what will be reached, which takes about three seconds; None: for live sources.

    On an error no half-written video is left; pictures that were written stay. Ctrl-C closes the video, which then
    holds the frames so far, and still writes the rest; before the first frame it writes nothing. SIGTERM does the same.
    """
    given = [reference, motion, *(path for path in (options.reference_mask, options.pose_video) if path)]
    outputs.check(inputs=given)
    profiler = Profiler()
    with terminable(), closing(open_as(options, motion, profiler=profiler)) as driving:
        measure = driving.live or options.realtime if measure is None else measure
        return _run(reference, driving, outputs, options, profiler, console, measure)


def _run(
    reference: str | Path,
    driving: Motion,
    outputs: OutputOptions,
    options: AnimateOptions,
    profiler: Profiler,
    console: Console,
    measure: bool,
) -> RunResult:
    info, delivery = driving.info, DeliveryReport()
    _check_motion(info, outputs, options)
    profiler.start()
    with profiler.span("set-up"):
        opened = Animator(options, profiler=profiler)
    with opened as animator:
        portrait = animator.set_reference(reference)  # first, so that bad input is told in one line
        tell_plan(animator, info, console)
        if measure:
            tell_forecast(animator, info, console)
        sheet = _sheet(portrait, info) if outputs.sheet and outputs.in_a_folder else None
        stream = _encoded(animator, portrait, driving, outputs, sheet, delivery)
        frames, interrupted, terminated = 0, False, False
        show = partial(_shown, driving=driving, outputs=outputs, profiler=profiler, console=console)
        shown = profiler.stage("progress", show, _delivered(stream, profiler))
        try:
            for _ in shown:
                frames += 1
        except KeyboardInterrupt as signalled:
            interrupted, terminated = True, isinstance(signalled, Terminated)
            if not frames:
                raise
        except TpcStreamError:
            if frames and outputs.destination == "file":
                Path(outputs.path).unlink(missing_ok=True)
            raise
        finally:
            shown.close()
            stream.close()
        with uninterrupted():
            driving.close()
            note_run(profiler, animator, reference, info)
            note_flow(profiler, driving.report, delivery, live=driving.live)
            session = profiler.session(fps=float(info.rate) if info.rate else None)
            console.print(render_table(session))
            for line in _findings(animator, frames, interrupted) + flow_findings(driving.report, delivery):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            written = [Path(outputs.path)] if outputs.in_a_folder else []
            written += write_companions(outputs, session, sheet)
            told = f"wrote {', '.join(map(str, written))}" if written else f"{frames} frames went to {outputs.path}"
            console.print(told, highlight=False, markup=False, soft_wrap=True)
    return RunResult(
        frames=frames, interrupted=interrupted, terminated=terminated, written=tuple(written), session=session
    )


def _check_motion(info: SourceInfo, outputs: OutputOptions, options: AnimateOptions) -> None:
    """What can be known to fail before the reference is prepared."""
    if info.kind == "image" and options.end_seconds is None and options.max_frames is None:
        raise InputError(f"{info.url} is a single picture: say how long it lasts with --end or --max-frames")
    if outputs.sound and info.audio_streams and not outputs.audio_track < info.audio_streams:
        raise InputError(
            f"{info.url} has {info.audio_streams} audio track(s), counted from 0; "
            f"there is no track {outputs.audio_track}"
        )
    check_sink(outputs, info)


def _encoded(
    animator: Animator,
    portrait: Portrait,
    driving: Motion,
    outputs: OutputOptions,
    sheet: ContactSheet | None,
    delivery: DeliveryReport,
) -> ProfiledStage[AnimatedFrame]:
    """The animated frames, recorded, laid out, written or sent, and shown."""
    profiler = animator.profiler
    stream: Iterator[AnimatedFrame] = _recorded(animator.animate(driving), profiler)
    if sheet is not None:
        stream = profiler.stage("sheet", partial(collect, sheet=sheet), stream)
    if outputs.side_by_side:
        lay_out = partial(side_by_side, portrait=portrait, calibrated=partial(_calibrated_picture, portrait))
        stream = profiler.stage("side by side", lay_out, stream)
    sound = _sound(driving.info, outputs, animator.options)
    writing = sink_stage(outputs, driving.info, sound=sound, delivery=delivery)
    encoded = profiler.stage("encode", writing, stream, codec=True)
    window = preview_stage(outputs)
    return encoded if window is None else profiler.stage("preview", window, encoded)


def _sound(info: SourceInfo, outputs: OutputOptions, options: AnimateOptions) -> SoundSource | None:
    if not outputs.sound or not info.audio_streams or info.live:
        return None
    start = info.origin_seconds + Fraction(options.start_seconds)
    end = None if options.end_seconds is None else info.origin_seconds + Fraction(options.end_seconds)
    return SoundSource(info.url, track=outputs.audio_track, start_seconds=start, end_seconds=end)


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


def _shown(
    frames: Iterable[AnimatedFrame], *, driving: Motion, outputs: OutputOptions, profiler: Profiler, console: Console
) -> Iterator[AnimatedFrame]:
    """The frames, and how far the work is; for a live source in a terminal also where the time goes."""
    total = driving.info.frame_count_estimate
    in_time = driving.live or driving.report.policy not in ("", "none")
    if not (in_time and console.is_terminal and outputs.preview != "terminal"):
        return watched(frames, outputs, total=total, console=console)
    report = driving.report
    return show_live(
        frames, profiler=profiler, total=None, console=console, counts=lambda: {"dropped": len(report.dropped)}
    )


def _delivered(frames: Iterable[AnimatedFrame], profiler: Profiler) -> Iterator[AnimatedFrame]:
    """Records that the sink has taken each frame."""
    for frame in frames:
        profiler.frame_done(frame.index, frame.captured_seconds)
        yield frame


def _recorded(frames: Iterator[AnimatedFrame], profiler: Profiler) -> Iterator[AnimatedFrame]:
    """Keeps each frame's calibration in the profile."""
    for frame in frames:
        record = CalibrationRecord.of(frame.source)
        profiler.frame_record(frame.index, **record.columns())
        if record.held:
            profiler.frame_event("held", frame.index)
        yield frame


def _findings(animator: Animator, frames: int, interrupted: bool) -> list[str]:
    """What a user should know about the run, in words; nothing where all went well."""
    lines = [f"interrupted after {frames} frames, which are written and playable"] if interrupted else []
    return lines + findings(animator.calibration_report, used=animator.plan.denoise.tpc)
