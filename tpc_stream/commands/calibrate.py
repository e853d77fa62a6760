"""`tpc-stream calibrate`: the calibration alone, without any model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tpc_stream import cli_options as opt
from tpc_stream.commands.shell import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    Overwrite,
    Verbose,
    console,
    read_size,
    set_verbosity,
)
from tpc_stream.interrupt import Terminated

CALIBRATE_EXAMPLES = """Lay the person of a picture onto the person of each frame of a video, and show how well it fits.

No model and no bundle is needed: the calibrated pictures can feed any animation system that takes a reference.

[bold]Examples[/bold]

  tpc-stream calibrate --reference me.png --motion dance.mp4 --out fit.mp4 --sheet fit.png

  tpc-stream calibrate --reference me.png --motion dance.mp4 --out-dir calibrated --size 512x768 --json fit.json

  tpc-stream calibrate -r me.png -m dance.mp4 --reference-mask me_mask.png --target-masks masks --json fit.json

--out, --sheet, --json and --out-dir each name what to write; at least one of them is needed. Pictures and transforms
are in pixels of the driving video, or of --size.
"""

Out = Annotated[
    str | None,
    typer.Option("--out", "-o", help="A video that explains each frame: .mp4, .mkv, .webm, .mov; or pictures: DIR/."),
]
Sheet = Annotated[str | None, typer.Option("--sheet", help="A contact sheet of some frames, .png.")]
Json = Annotated[str | None, typer.Option("--json", help="Every frame's transform, points and IoU.")]
OutDir = Annotated[
    str | None, typer.Option("--out-dir", help="Calibrated pictures and masks: calibrated/NNN.png, masks/NNN.png.")
]
TargetMasks = Annotated[
    str | None, typer.Option(help="Folder of masks of the driving frames, NNN.png by frame index. Default: estimated.")
]
Size = Annotated[
    str | None, typer.Option(help="WxH of calibrated pictures. Default: the video's.", rich_help_panel="Picture")
]


def calibrate(
    reference: opt.Reference,
    motion: opt.Motion,
    out: Out = None,
    sheet: Sheet = None,
    json: Json = None,
    out_dir: OutDir = None,
    reference_mask: opt.ReferenceMask = None,
    sam: opt.Sam = None,
    target_masks: TargetMasks = None,
    transform: opt.Transform = "procrustes",
    steady_tolerance: opt.SteadyTolerance = opt.DEFAULT_STEADY_TOLERANCE,
    hold_seconds: opt.HoldSeconds = 0.5,
    min_visibility: opt.MinVisibility = 0.5,
    start: opt.Start = 0.0,
    end: opt.End = None,
    max_frames: opt.MaxFrames = None,
    fit: opt.Fit = "pad",
    size: Size = None,
    codec: opt.Codec = None,
    crf: opt.Crf = None,
    overwrite: Overwrite = False,
    verbose: Verbose = 0,
) -> None:
    from tpc_stream.calibrate_options import CalibrateOptions, CalibrateOutputs

    if verbose:
        set_verbosity(verbose)
    options = CalibrateOptions(
        size=read_size(size),
        fit=fit,
        transform=transform,
        steady_tolerance=steady_tolerance,
        start_seconds=start,
        end_seconds=end,
        max_frames=max_frames,
        reference_mask=reference_mask,
        sam=sam,
        target_masks=target_masks,
        hold_seconds=hold_seconds,
        min_visibility=min_visibility,
    )
    outputs = CalibrateOutputs(
        video=out, sheet=sheet, json=json, folder=out_dir, codec=codec, crf=crf, overwrite=overwrite
    )
    from tpc_stream.calibrate_run import run_calibration

    try:
        result = run_calibration(reference, motion, outputs, options=options, console=console())
    except KeyboardInterrupt as signalled:
        print("interrupted before the first frame; nothing was written", file=sys.stderr)
        raise typer.Exit(EXIT_TERMINATED if isinstance(signalled, Terminated) else EXIT_INTERRUPTED) from None
    if result.interrupted:
        raise typer.Exit(EXIT_TERMINATED if result.terminated else EXIT_INTERRUPTED)
