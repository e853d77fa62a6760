"""What the profile and the summary say of frames that were dropped, repeated or waited for."""

from __future__ import annotations

from typing import Any

from tpc_stream.profile import Profiler
from tpc_stream.reading.source_info import SourceReport
from tpc_stream.writing.steady import DeliveryReport


def note_flow(profiler: Profiler, report: SourceReport, delivery: DeliveryReport, *, live: bool) -> None:
    """Keeps the counts as counters, where there is something to count, and which frames they were as a note."""
    counts = {
        "frames dropped": len(report.dropped),
        "frames repeated": delivery.repeats,
        "frames skipped": len(delivery.skipped),
        "reconnects": report.reconnects,
        "clock restarts": report.clock_restarts,
        "format changes": report.format_changes,
    }
    for name, count in counts.items():
        if count or (live and name == "frames dropped"):
            profiler.count(name, count)
    for first, last in report.dropped.ranges():
        profiler.frame_event("dropped", first, last)
    for first, last in delivery.repeated.ranges():
        profiler.frame_event("repeated", first, last)
    profiler.note(flow=flow_record(report, delivery))


def flow_record(report: SourceReport, delivery: DeliveryReport) -> dict[str, Any]:
    """As JSON has it. Ranges are [first, last], both inclusive: `dropped` counts the source's frames from 0, `repeated`
    and `skipped` the pipeline's."""
    return {
        "policy": report.policy,
        "captured": report.captured,
        "dropped": [list(run) for run in report.dropped.ranges()],
        "repeated": [list(run) for run in delivery.repeated.ranges()],
        "repeats": delivery.repeats,
        "skipped": [list(run) for run in delivery.skipped.ranges()],
        "reconnects": report.reconnects,
        "offline_seconds": report.offline_seconds,
        "clock_restarts": report.clock_restarts,
        "format_changes": report.format_changes,
        "interrupted": report.interrupted,
    }


def flow_findings(report: SourceReport, delivery: DeliveryReport) -> list[str]:
    """What a user should know of it, a sentence a line; nothing where nothing was lost."""
    lines = []
    if dropped := len(report.dropped):
        lines.append(
            f"{dropped} of {report.captured} frames were dropped ({dropped / max(1, report.captured):.0%}, policy "
            f"{report.policy}): the source was faster than the pipeline"
        )
    if delivery.repeats or delivery.skipped:
        lines.append(
            f"to keep a constant rate, {delivery.repeats} frames were repeated and {len(delivery.skipped)} left out"
        )
    if report.reconnects:
        times = "once" if report.reconnects == 1 else f"{report.reconnects} times"
        lines.append(f"the source was gone and came back {times}, {report.offline_seconds:.1f} s in all")
    if report.interrupted:
        lines.append(f"the source ended early: {report.interrupted}")
    return lines
