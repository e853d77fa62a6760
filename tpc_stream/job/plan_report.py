"""The plan of a long video for people and, as JSON, for programs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from fractions import Fraction
from importlib import resources
from json import dumps
from pathlib import Path

from rich.console import Console

from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.errors import InputError, SinkError
from tpc_stream.job.devices import uses_gpu
from tpc_stream.job.frame_index import read_index
from tpc_stream.job.measuring import MEASURED_SECONDS, Measured, measure
from tpc_stream.job.planning import Crew, JobPlan, Task, plan_job
from tpc_stream.job.spec import DEFAULT_RATE, cut_config
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import make_plan
from tpc_stream.source import probe
from tpc_stream.writing.whole_file import write_whole

SCHEMA = "tpc-stream plan 1"


def report_plan(
    reference: str | None,
    motion: str,
    options: AnimateOptions,
    *,
    workers: int | None,
    machines: int,
    chunk_seconds: float | None,
    hours: float | None,
    json: str | None,
    console: Console,
) -> JobPlan:
    """Measures, plans and tells.

    Args:
        reference: None: the demo's picture. workers: on each machine; None: one, or one a core of several machines.
        chunk_seconds: None: the default for such a video. hours: as if the video lasted so long.

    Raises InputError for what is not done in chunks; SinkError where `json` cannot be written; as `measure`.
    """
    if json is not None and not Path(json).parent.is_dir():
        raise SinkError(f"cannot write the plan to {json}: there is no such folder; give another --json")
    cores = len(os.sched_getaffinity(0))
    crew = Crew(machines=machines, workers=workers or (cores if machines > 1 else 1))
    if crew.total > 1 and not options.threads:
        options = replace(options, threads=max(1, cores // crew.workers))
    bundle = open_bundle(options.bundle)
    plan = make_plan(bundle, options)
    info = probe(motion)
    if info.kind != "video" or info.live:
        raise InputError(f"a plan is for a video file, {motion} is {info.kind}: see animate --dry-run for live sources")
    task = _task(motion, options, bundle, rate=info.rate or DEFAULT_RATE, chunk_seconds=chunk_seconds, hours=hours)
    with ExitStack() as opened:
        demo = resources.files("tpc_stream") / "assets" / "demo_reference.png"
        picture = reference or opened.enter_context(resources.as_file(demo))
        measured = measure(picture, motion, options, info=info, seconds=MEASURED_SECONDS)
    found = plan_job(task, plan, measured, crew)
    for line in describe(found, measured, backend=options.backend):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if json is not None:
        _write(Path(json), found, measured, backend=options.backend, bundle=bundle.manifest.name)
    return found


def describe(plan: JobPlan, measured: Measured, *, backend: str) -> list[str]:
    """Lines for people."""
    crew = f"{plan.workers} worker{'s' if plan.workers > 1 else ''}"
    if plan.machines > 1:
        crew = f"{plan.machines} machines of {crew} each"
    devices = plan.machines * plan.workers
    on_gpu = "" if not uses_gpu(backend) else f", {plan.wall_hours * devices:.3g} GPU hours at a GPU for each worker"
    cut = f"{plan.chunks} chunks of {plan.chunk_seconds:.1f} s" if plan.chunks > 1 else "one chunk"
    return [
        f"{plan.frames} frames, {_duration(plan.video_seconds)} of video: {plan.passes} denoiser passes, {cut}"
        + (f", of whose work {plan.cut_share:.1%} is repeated at cuts" if plan.chunks > 1 else ""),
        f"measured on {measured.frames} frames: {measured.cpu_ms:.1f} ms of CPU time and {measured.wall_ms:.1f} ms a "
        f"frame by one worker alone, {measured.start_seconds:.1f} s to start, {measured.memory_mb:.0f} MB",
        f"{crew}: {_duration(3600 * plan.wall_hours)}, {plan.cpu_hours:.3g} CPU hours{on_gpu}",
        f"memory {plan.memory_mb:.0f} MB a machine; disk {_bytes(plan.disk_bytes)} for segments and output together, "
        f"then {_bytes(plan.output_bytes)} (without sound)",
        *(
            [
                f"over the network {_bytes(plan.moved_bytes)} with --store object, {_bytes(plan.shared_bytes)} with "
                "--store DIR"
            ]
            if plan.machines > 1
            else []
        ),
        f"killed, each worker loses {plan.lost_seconds:.0f} s of work on average",
        f"limit: {'; '.join(plan.limits)}",
    ]


def _task(
    motion: str, options: AnimateOptions, bundle: Bundle, *, rate: Fraction, chunk_seconds: float | None,
    hours: float | None,
) -> Task:  # fmt: skip
    own = len(read_index(motion).ticks)
    if not own:
        raise InputError(f"{motion} has no frame: give another video")
    frames = own if hours is None else max(1, round(hours * 3600 * rate))
    return Task(
        frames=frames,
        rate=rate,
        input_bytes=Path(motion).stat().st_size * frames / own,
        bundle_bytes=sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file()),
        cut=cut_config(options, chunk_seconds, rate=rate, frames=frames),
    )


def _write(path: Path, plan: JobPlan, measured: Measured, **made_with: str) -> None:
    document = {"schema": SCHEMA, **made_with, "plan": asdict(plan), "measured": asdict(measured)}
    try:
        write_whole(path, [dumps(document, indent=1).encode() + b"\n"])
    except OSError as error:
        raise SinkError(f"cannot write the plan to {path}: {error.strerror}; give another --json") from error


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:,.1f} days"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
