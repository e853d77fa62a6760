"""What a run keeps in its profile beside the times."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from tpc_stream.pipeline import Animator
from tpc_stream.profile import Profiler
from tpc_stream.recording.machine import describe_machine
from tpc_stream.source import SourceInfo


def note_run(profiler: Profiler, animator: Animator, reference: str | Path, info: SourceInfo) -> None:
    """Keeps what a figure needs to be understood later: the options, the machine, the versions."""
    report, calibrated = animator.source_report, animator.calibration_report
    unused = "" if animator.plan.denoise.tpc else " (unused)"
    for name, count in calibrated.frames.items():
        profiler.count(f"calibration {name}{unused}", count)
    profiler.count("corrupt packets", report.corrupt_packets)
    profiler.count("frames missing", report.frames_missing)
    profiler.note(
        reference=str(reference),
        motion=info.url,
        motion_size=[info.width, info.height],
        options={
            key: str(value) if isinstance(value, Path) else value for key, value in asdict(animator.options).items()
        },
        plan=asdict(animator.plan),
        bundle={"name": animator.bundle.manifest.name, "version": animator.bundle.manifest.version},
        backend=animator.backend_description,
        environment=describe_machine(),
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )
