"""A Session for people and programs: the latency table in the terminal, plain lines for logs, and JSON."""

from __future__ import annotations

import io
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tpc_stream.errors import SinkError
from tpc_stream.recording.ledger import PARTS
from tpc_stream.recording.session import Distribution, EndToEnd, Session, StageSummary
from tpc_stream.writing.whole_file import write_whole

BAR_CELLS = 5
"""Width of the bar that stands for the whole wall time; the table then fits 80 columns."""
NOTABLE_SHARE = 0.01
"""Time that no frame carries is told from this share of the wall time on."""
TEXT_COLUMNS = 200
"""Width of render_text: wide enough that no sentence of a log is wrapped."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLUMNS = ("count", "p50", "p90", "p99", "max", "share")
_OWN_STYLES = {"part": "dim", "measured": "dim", "end to end": "bold"}


def render_table(session: Session) -> RenderableType:
    """The latency table: self time a stage and frame in milliseconds, the waits, end to end, and what is left over."""
    table = Table(title="Time per frame, milliseconds", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", overflow="fold")  # the one column that gives way where the terminal is narrow
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, width=BAR_CELLS)
    for stage in nested_stages(session.stages):
        style = _OWN_STYLES.get(stage.kind, "")
        table.add_row(_label(stage), *_cells(stage.self_ms), f"{stage.share:.1%}", _bar(stage.share), style=style)
    wall_ms = 1e3 * session.wall_seconds
    for queue in session.queues:
        for label, waits in (("full", queue.producer_wait), ("empty", queue.consumer_wait)):
            share = waits.total_ms / wall_ms if wall_ms > 0 else 0.0
            table.add_row(f"queue {queue.name} {label}", *_cells(waits), f"{share:.1%}", _bar(share), style="yellow")
    if session.end_to_end is not None:
        table.add_section()
        table.add_row("end to end", *_cells(session.end_to_end.latency), "", "", style="bold")
        for part in PARTS:
            table.add_row(f"  {part}", *_cells(getattr(session.end_to_end, part)), "", "", style="dim")
    return Group(table, *(Text(line) for line in summary_lines(session)))


def render_text(session: Session) -> str:
    """The same without colours, for logs; ends with a newline."""
    console = Console(
        file=io.StringIO(), width=TEXT_COLUMNS, color_system=None, force_terminal=False, legacy_windows=False
    )
    with console.capture() as captured:
        console.print(render_table(session))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def write_json(session: Session, path: Path) -> None:
    """Write the whole Session, or nothing; SinkError where the file cannot be written."""
    try:
        write_whole(path, (piece.encode("ascii") for piece in session.json_pieces()))
    except OSError as error:
        raise SinkError(
            f"cannot write the profile to {path}: {error.strerror}; give a path that can be written"
        ) from error


def summary_lines(session: Session) -> list[str]:
    """What the table's rows do not say, one sentence a line."""
    lines = [f"{session.frames} frames in {session.wall_seconds:.2f} s: {session.fps:.2f} frames/s"]
    if session.first_frame_seconds is not None:
        lines[0] += f", the first after {session.first_frame_seconds:.2f} s"
    if session.deadline is not None:
        due = session.deadline
        late = f"{due.misses} late ({due.miss_rate:.1%}), {due.late_ms:.0f} ms in all" if due.misses else "none late"
        lines.append(f"At {due.fps:g} frames/s ({due.interval_ms:.1f} ms a frame): {late}")
    if session.end_to_end is not None:
        lines.append(_split(session.end_to_end))
    for thread in session.threads:
        share = thread.unaccounted_ms / thread.wall_ms if thread.wall_ms > 0 else 0.0
        lines.append(
            f"Thread {thread.name}: {thread.wall_ms:.0f} ms = {thread.self_ms:.0f} in stages"
            f" + {thread.waited_ms:.0f} waiting + {thread.unaccounted_ms:.0f} unaccounted ({share:.1%})"
        )
    for stage in session.stages:
        if stage.batches < stage.self_ms.count and stage.kind == "stage":
            lines.append(
                f"{stage.name}: {stage.self_ms.count} frames came in {stage.batches} batches, the longest"
                f" {stage.longest_batch_ms:.1f} ms; its frames share a batch's time equally"
            )
        if stage.outside_ms > NOTABLE_SHARE * 1e3 * session.wall_seconds:
            lines.append(f"{stage.name}: {stage.outside_ms:.1f} ms more that no frame carries (set-up, flush, close)")
    if session.events:
        lines.append(", ".join(f"{session.event_count(name)} frames {name}" for name in session.events))
    if session.counters:
        lines.append(", ".join(f"{name}: {count}" for name, count in session.counters.items()))
    if session.trace.left_out:
        lines.append(
            f"The trace holds the first {len(session.trace.began_us)} spans; {session.trace.left_out} left out"
        )
    return lines


def _split(end_to_end: EndToEnd) -> str:
    mean = f"End to end, mean {end_to_end.latency.mean_ms:.1f} ms"
    parts = " + ".join(f"{getattr(end_to_end, part).mean_ms:.1f} {part}" for part in PARTS)
    rest = round(end_to_end.unaccounted_ms, 1) + 0.0  # no -0.0
    return f"{mean} = {parts} + {rest:.1f} unaccounted ({end_to_end.unaccounted_share:.1%})"


def nested_stages(stages: tuple[StageSummary, ...]) -> list[StageSummary]:
    """Each part below the stage or span that it is named after; otherwise the order of the session."""
    place: dict[str, int] = {}
    for stage in stages:
        place.setdefault(stage.name.partition("/")[0], len(place))
    return sorted(stages, key=lambda stage: (place[stage.name.partition("/")[0]], stage.name.count("/") > 0))


def _label(stage: StageSummary) -> str:
    parents, _, own = stage.name.rpartition("/")
    return "  " * (parents.count("/") + 1) + own if parents else own


def _cells(times: Distribution) -> tuple[str, ...]:
    values = (times.p50_ms, times.p90_ms, times.p99_ms, times.max_ms)
    return (str(times.count), *(_number(value) for value in values))


def _number(value: float) -> str:
    """Four digits: no clock is truer."""
    return f"{value:.2f}" if value < 99.995 else f"{value:.1f}" if value < 999.95 else f"{value:.0f}"


def _bar(share: float) -> str:
    eighths = round(8 * BAR_CELLS * min(max(share, 0.0), 1.0))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")
