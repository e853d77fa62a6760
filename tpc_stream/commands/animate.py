"""`tpc-stream animate` and `tpc-stream demo`."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tpc_stream import cli_options as opt
from tpc_stream.commands.job import animate_in_chunks, read_ray
from tpc_stream.commands.shell import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    Overwrite,
    Verbose,
    console,
    read_size,
    set_verbosity,
)
from tpc_stream.errors import InputError, SinkError
from tpc_stream.interrupt import Terminated
from tpc_stream.options import AnimateOptions

if TYPE_CHECKING:
    from tpc_stream.outputs import OutputOptions

ANIMATE_EXAMPLES = """Animate the person of a picture with the motion of a video.

[bold]Examples[/bold]

  tpc-stream animate --reference me.png --motion dance.mp4 --out me_dancing.mp4

  tpc-stream animate --reference me.png --motion dance.mp4 --out a.mp4 --start 3 --end 8 --side-by-side

  tpc-stream animate --reference me.jpg --motion frames/%05d.png --out a.webm --codec vp9 --size 512x512

  tpc-stream animate --reference me.png --motion dance.mp4 --out plain.mp4 --no-tpc

  tpc-stream animate --reference me.png --motion webcam --out none --preview window --schedule diagonal

  tpc-stream animate --reference me.png --motion hour.mp4 --out hour_me.mp4 --chunk-seconds 10 --workers 2

  tpc-stream animate --reference me.png --motion rtsp://camera/live --out rtmp://server/live/key

Beside the video it writes NAME.png (a contact sheet), NAME.json and NAME.html (the profile) and NAME.trace.json (for
Perfetto). --dry-run says what can be reached here, and what would help, and writes nothing.
Ctrl-C closes the video, which then holds the frames so far, and so does SIGTERM (exit codes 130 and 143).
"""


def animate(
    reference: opt.Reference,
    motion: opt.Motion,
    out: opt.Out,
    reference_mask: opt.ReferenceMask = None,
    pose_video: opt.PoseVideo = None,
    sam: opt.Sam = None,
    bundle: opt.Bundle = "mannequin",
    backend: opt.Backend = "onnxrt",
    threads: opt.Threads = 0,
    retry_precision: opt.RetryPrecision = None,
    steps: opt.Steps = None,
    guidance: opt.Guidance = None,
    seed: opt.Seed = 0,
    tpc: opt.Tpc = True,
    group_size: opt.GroupSize = None,
    groups: opt.Groups = None,
    hold_seconds: opt.HoldSeconds = 0.5,
    min_visibility: opt.MinVisibility = 0.5,
    transform: opt.Transform = "procrustes",
    steady_tolerance: opt.SteadyTolerance = opt.DEFAULT_STEADY_TOLERANCE,
    schedule: opt.Schedule = "window",
    chunk: opt.Chunk = None,
    window: opt.Window = None,
    overlap: opt.Overlap = None,
    start: opt.Start = 0.0,
    end: opt.End = None,
    max_frames: opt.MaxFrames = None,
    realtime: opt.Realtime = False,
    drop: opt.Drop = None,
    reconnect_seconds: opt.ReconnectSeconds = 30.0,
    capture_size: opt.CaptureSize = None,
    capture_rate: opt.CaptureRate = None,
    fit: opt.Fit = "pad",
    size: opt.Size = None,
    side_by_side: opt.SideBySide = False,
    codec: opt.Codec = None,
    crf: opt.Crf = None,
    faststart: opt.Faststart = False,
    sound: opt.Sound = True,
    audio_track: opt.AudioTrack = 0,
    hwaccel: opt.Hwaccel = "auto",
    preview: opt.Preview = None,
    raw: opt.Raw = "rgb24",
    sheet: opt.Sheet = True,
    report: opt.Report = True,
    json: opt.Json = None,
    html: opt.Html = None,
    csv: opt.Csv = None,
    trace: opt.Trace = None,
    plan: opt.Plan = None,
    chunk_seconds: opt.ChunkSeconds = None,
    workers: opt.Workers = None,
    devices: opt.Devices = None,
    ray: opt.Ray = None,
    store: opt.Store = None,
    retries: opt.Retries = 2,
    keep_job: opt.KeepJob = False,
    progress: opt.ProgressKind = None,
    dry_run: opt.DryRun = False,
    overwrite: Overwrite = False,
    verbose: Verbose = 0,
) -> None:
    from tpc_stream.outputs import OutputOptions

    if verbose:
        set_verbosity(verbose)
    options = AnimateOptions(
        bundle=bundle,
        backend=backend,
        threads=threads,
        retry_precision=retry_precision,
        seed=seed,
        steps=steps,
        guidance_scale=guidance,
        tpc=tpc,
        group_size=group_size,
        groups=groups,
        schedule=schedule,
        chunk=chunk,
        window=window,
        overlap=overlap,
        fit=fit,
        size=read_size(size),
        start_seconds=start,
        end_seconds=end,
        max_frames=max_frames,
        realtime=realtime,
        drop=drop,
        reconnect_seconds=reconnect_seconds,
        capture_size=read_size(capture_size, option="--capture-size"),
        capture_rate=capture_rate,
        hwaccel=hwaccel,
        reference_mask=reference_mask,
        pose_video=pose_video,
        sam=sam,
        hold_seconds=hold_seconds,
        min_visibility=min_visibility,
        transform=transform,
        steady_tolerance=steady_tolerance,
    )
    outputs = OutputOptions(
        path=out,
        codec=codec,
        crf=crf,
        faststart=faststart,
        sound=sound,
        audio_track=audio_track,
        hwaccel=options.settled_hwaccel,
        side_by_side=side_by_side,
        preview=preview,
        raw=raw,
        overwrite=overwrite,
        sheet=sheet,
        report=report,
        json=json,
        html=html,
        csv=csv,
        trace=trace,
    )
    if dry_run:
        from tpc_stream.dry_run import dry_run as tell

        tell(reference, motion, options=options, console=console())
        return
    on_ray = read_ray(ray, store, workers)
    if chunk_seconds is not None or (workers or 1) > 1 or devices is not None or on_ray is not None:
        from tpc_stream.job.devices import read_devices
        from tpc_stream.job.run_job import JobConfig

        gpus = read_devices(devices)
        config = JobConfig(workers=max(workers or 1, len(gpus)), devices=gpus, retries=retries, keep=keep_job)
        animate_in_chunks(
            reference,
            motion,
            outputs,
            options,
            chunk_seconds=chunk_seconds,
            config=config,
            ray=on_ray,
            progress=progress,
        )
        return
    if progress is not None:
        raise InputError("--progress json is for work in chunks: add --chunk-seconds")
    _run(reference, motion, outputs, options, measure=plan)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The video to write.")] = Path("out/demo.mp4"),
    overwrite: Overwrite = True,
    verbose: Verbose = 0,
) -> None:
    """Animate the rendered person that comes with the package: no file of yours is needed."""
    from tpc_stream.outputs import OutputOptions

    if verbose:
        set_verbosity(verbose)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {out.parent}: {error.strerror}; give another --out") from error
    outputs = OutputOptions(path=str(out), overwrite=overwrite)
    with resources.as_file(resources.files("tpc_stream") / "assets") as assets:
        _run(str(assets / "demo_reference.png"), str(assets / "demo_motion.mp4"), outputs, AnimateOptions())


def _run(
    reference: str, motion: str, outputs: OutputOptions, options: AnimateOptions, *, measure: bool | None = None
) -> None:
    from tpc_stream.run import run

    try:
        result = run(reference, motion, outputs, options=options, console=console(), measure=measure)
    except KeyboardInterrupt as signalled:
        print("interrupted before the first frame; nothing was written", file=sys.stderr)
        code = EXIT_TERMINATED if isinstance(signalled, Terminated) else EXIT_INTERRUPTED
        raise typer.Exit(code) from None
    if result.interrupted:
        raise typer.Exit(EXIT_TERMINATED if result.terminated else EXIT_INTERRUPTED)
