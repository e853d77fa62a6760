"""`tpc-stream plan`: what a long video will take on this machine, or on so many like it."""

from __future__ import annotations

from typing import Annotated

import typer

from tpc_stream import cli_options as opt
from tpc_stream.commands.shell import Verbose, console, read_size, set_verbosity
from tpc_stream.options import AnimateOptions

Machines = Annotated[int, typer.Option(min=1, help="Machines like this one.")]
PlanWorkers = Annotated[
    int | None, typer.Option(min=1, help="Processes on each. Default: 1 here, one a core on several machines.")
]
Hours = Annotated[
    float | None, typer.Option(min=0, help="As if the video went on like this for so long.", show_default=False)
]
PlanReference = Annotated[
    str | None, typer.Option("--reference", "-r", help="The picture of the person. Default: the demo's.")
]
PlanJson = Annotated[str | None, typer.Option("--json", help="Write the plan there.")]


def plan(
    motion: opt.Motion,
    reference: PlanReference = None,
    bundle: opt.Bundle = "mannequin",
    backend: opt.Backend = "onnxrt",
    threads: opt.Threads = 0,
    steps: opt.Steps = None,
    window: opt.Window = None,
    overlap: opt.Overlap = None,
    tpc: opt.Tpc = True,
    size: opt.Size = None,
    workers: PlanWorkers = None,
    machines: Machines = 1,
    chunk_seconds: opt.ChunkSeconds = None,
    hours: Hours = None,
    json: PlanJson = None,
    verbose: Verbose = 0,
) -> None:
    """Say what a long video takes: hours, memory, disk, traffic, and what limits (docs/planning.md).

    Measured for some seconds with the real engines on frames of the video.
    """
    from tpc_stream.job.plan_report import report_plan

    if verbose:
        set_verbosity(verbose)
    options = AnimateOptions(
        bundle=bundle, backend=backend, threads=threads, steps=steps, window=window, overlap=overlap, tpc=tpc,
        size=read_size(size),
    )  # fmt: skip
    report_plan(
        reference, motion, options, workers=workers, machines=machines, chunk_seconds=chunk_seconds, hours=hours,
        json=json, console=console(),
    )  # fmt: skip
