"""`tpc-stream resume` and `tpc-stream status`, and what `animate` does where it works in chunks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tpc_stream import cli_options as opt
from tpc_stream.commands.shell import EXIT_INTERRUPTED, EXIT_TERMINATED, Verbose, console, set_verbosity
from tpc_stream.errors import InputError, TpcStreamError
from tpc_stream.interrupt import Terminated, terminable
from tpc_stream.options import AnimateOptions

if TYPE_CHECKING:
    from tpc_stream.cluster.ray_config import RayConfig
    from tpc_stream.job.events import Event
    from tpc_stream.job.folder import JobFolder
    from tpc_stream.job.run_job import JobConfig
    from tpc_stream.job.spec import JobSpec
    from tpc_stream.outputs import OutputOptions

Folder = Annotated[Path, typer.Argument(help="The job's folder: the output's name with .tpc behind it.")]


def resume(
    folder: Folder,
    workers: opt.Workers = None,
    devices: opt.Devices = None,
    ray: opt.Ray = None,
    store: opt.Store = None,
    retries: opt.Retries = 2,
    keep_job: opt.KeepJob = False,
    progress: opt.ProgressKind = None,
    verbose: Verbose = 0,
) -> None:
    """Go on with a job that was interrupted: only the missing chunks are made.

    Refuses, and says why, if the video, the reference, the bundle or a version changed.
    """
    from tpc_stream.job.devices import read_devices
    from tpc_stream.job.folder import JobFolder
    from tpc_stream.job.run_job import JobConfig, resume_job

    if verbose:
        set_verbosity(verbose)
    gpus = read_devices(devices)
    config = JobConfig(workers=max(workers or 1, len(gpus)), devices=gpus, retries=retries, keep=keep_job)
    job, on = JobFolder(folder), read_ray(ray, store, workers)
    events = resume_job(job, config=config)
    if on is not None and job.manifest.exists():  # without it there is at most something to tell
        events = _on_ray(lambda ours: resume_job(job, config=ours), job.read(), on, config)
    _follow(events, job, progress=progress)


def status(folder: Folder) -> None:
    """How far a job is, how fast, and how long it will take."""
    from tpc_stream.job.folder import JobFolder
    from tpc_stream.job.status import job_status

    for line in job_status(JobFolder(folder)).describe():
        print(line)


def animate_in_chunks(
    reference: str,
    motion: str,
    outputs: OutputOptions,
    options: AnimateOptions,
    *,
    chunk_seconds: float | None,
    config: JobConfig,
    ray: RayConfig | None,
    progress: Literal["json"] | None,
) -> None:
    """`tpc-stream animate --chunk-seconds`, again and again until it is done."""
    from tpc_stream.job.folder import JobFolder
    from tpc_stream.job.run_job import run_job
    from tpc_stream.job.spec import make_spec

    spec = make_spec(reference, motion, outputs, options, chunk_seconds=chunk_seconds)
    if spec.trouble and chunk_seconds != 0:
        console().print(f"warning: made in one chunk: {spec.trouble}", highlight=False, markup=False, soft_wrap=True)
    events = run_job(spec, config=config)
    if ray is not None:
        events = _on_ray(lambda ours: run_job(spec, config=ours), spec, ray, config)
    _follow(events, JobFolder.of(outputs.path), progress=progress)


def read_ray(address: str | None, store: str | None, workers: int | None) -> RayConfig | None:
    """`--ray` and what goes with it; None without it."""
    from tpc_stream.cluster.ray_config import RayConfig

    if address is None:
        if store is not None:
            raise InputError("--store says how files travel on a Ray cluster: add --ray")
        return None
    return RayConfig(address=address, store=store, workers=workers)


def _on_ray(
    run: Callable[[JobConfig], Generator[Event, None, None]], spec: JobSpec, ray: RayConfig, config: JobConfig
) -> Generator[Event, None, None]:
    from tpc_stream.cluster.on_ray import on_ray

    return on_ray(run, spec, ray=ray, config=config)


def _follow(events: Generator[Event, None, None], folder: JobFolder, *, progress: Literal["json"] | None) -> None:
    from tpc_stream.job.watching import print_json, watch

    try:
        with terminable():
            finished = print_json(events) if progress == "json" else watch(events, console=console())
    except KeyboardInterrupt as signalled:
        events.close()
        print(f"interrupted; go on with: tpc-stream resume {folder.path}", file=sys.stderr)
        raise typer.Exit(EXIT_TERMINATED if isinstance(signalled, Terminated) else EXIT_INTERRUPTED) from None
    except TpcStreamError as error:
        if not isinstance(error, InputError) and folder.manifest.exists():
            print(f"what is finished is kept; go on with: tpc-stream resume {folder.path}", file=sys.stderr)
        raise
    if finished is not None:
        told = f"wrote {finished.path}, {finished.frames} frames"
        console().print(told, highlight=False, markup=False, soft_wrap=True)
