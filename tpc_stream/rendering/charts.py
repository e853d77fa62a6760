"""The plots of a profile's page: latency over time, percentiles, shares, calibration, what was dropped."""

from __future__ import annotations

from collections.abc import Sequence

from tpc_stream.recording.ledger import PARTS
from tpc_stream.recording.session import Distribution, Session
from tpc_stream.rendering import svg
from tpc_stream.report import nested_stages

MAX_POINTS = 700
"""Points of a curve: about one a pixel; of the frames that share one, the slowest is shown."""
PART_COLOURS = {"structural": "c4", "queue": "c3", "compute": "c1", "codec": "c2"}
PERCENTILE_COLOURS = {"p50": "c1", "p90": "c2", "p95": "c3", "p99": "c4", "max": "c5"}
STATUS_COLOURS = {"fresh": "c1", "held": "c3", "uncalibrated": "c5"}
EVENT_COLOURS = {"dropped": "c5", "repeated": "c4", "held": "c3"}
ROW = 24
"""Pixels of one row of a chart of rows."""
NAMES = 190
"""Pixels for the rows' names."""
LETTER = 7
"""Pixels of a letter, about: what fits into a box is written into it."""

Numbers = list[float]


def latency_over_time(session: Session) -> str:
    """Each frame's way, stacked by part, over the time at which it was done."""
    names = ("done_seconds", "end_to_end_ms", *(f"{part}_ms" for part in PARTS))
    rows = _rows(session, names)
    if len(rows) < 2:
        return _nothing("No frame's latency was recorded.")
    share = -(-len(rows) // MAX_POINTS)
    rows = [max(rows[k : k + share], key=lambda row: row[1]) for k in range(0, len(rows), share)]
    height = 260
    x = svg.horizontal(rows[0][0], rows[-1][0])
    y = svg.vertical(0.0, 1.05 * max(row[1] for row in rows), height=height)
    body = svg.axis_left(y) + svg.axis_below(x, height=height, label="seconds since the run began")
    xs = [x(row[0]) for row in rows]
    below = [0.0] * len(rows)
    for place, part in enumerate(PARTS):
        above = [low + row[2 + place] for low, row in zip(below, rows, strict=True)]
        body += svg.area(xs, [y(v) for v in below], [y(v) for v in above], PART_COLOURS[part])
        below = above
    body += svg.line([(at, y(row[1])) for at, row in zip(xs, rows, strict=True)], "ink")
    keys = [(PART_COLOURS[part], part) for part in PARTS] + [("ink", "end to end, ms")]
    note = f"<p class=note>Each point is the slowest of {share} frames.</p>" if share > 1 else ""
    return svg.legend(keys) + svg.chart(body, height=height, name="latency over time") + note


def percentiles(session: Session) -> str:
    """p50 to max of end to end, its parts and every stage, on one logarithmic axis."""
    rows: list[tuple[str, Distribution]] = []
    if session.end_to_end is not None:
        rows.append(("end to end", session.end_to_end.latency))
        rows += [(f"  {part}", getattr(session.end_to_end, part)) for part in PARTS]
    rows += [(stage.name, stage.self_ms) for stage in nested_stages(session.stages)]
    rows = [(name, times) for name, times in rows if times.count and times.max_ms > 0]
    if not rows:
        return _nothing("No durations were recorded.")
    height = svg.TOP + ROW * len(rows) + svg.BOTTOM
    least = max(0.01, min(times.p50_ms for _, times in rows if times.p50_ms > 0.001))
    x = svg.horizontal(least / 1.5, 1.2 * max(times.max_ms for _, times in rows), log=True, left=NAMES)
    body = svg.axis_below(x, height=height, label="milliseconds, logarithmic")
    for place, (name, times) in enumerate(rows):
        y = svg.TOP + ROW * (place + 0.5)
        body += svg.text(12 * name.count("/") + (12 if name.startswith(" ") else 0), y + 4, _own(name))
        values = {key: getattr(times, f"{key}_ms") for key in PERCENTILE_COLOURS}
        body += f'<line class="range" x1="{x(times.p50_ms)}" y1="{y}" x2="{x(times.max_ms)}" y2="{y}"/>'
        for key, value in reversed(values.items()):
            body += svg.dot(x(value), y, PERCENTILE_COLOURS[key], title=f"{name.strip()}: {key} {value:.2f} ms")
    keys = [(colour, key) for key, colour in PERCENTILE_COLOURS.items()]
    return svg.legend(keys) + svg.chart(body, height=height, name="percentiles by stage")


def shares(session: Session) -> str:
    """Where each thread's wall time went: its stages, waiting, and what nothing accounts for."""
    threads = [thread for thread in session.threads if thread.wall_ms > 0]
    if not threads:
        return _nothing("No time passed.")
    height = svg.TOP + (ROW + 8) * len(threads) + svg.BOTTOM
    x = svg.horizontal(0.0, 100.0, left=NAMES)
    body = svg.axis_below(x, height=height, label="per cent of the thread's wall time")
    keys: dict[str, str] = {}
    fixed = {"waiting": "rest", "unaccounted": "c5"}
    for place, thread in enumerate(threads):
        y = svg.TOP + (ROW + 8) * place
        body += svg.text(0, y + 17, thread.name)
        own = [s for s in session.stages if s.thread == thread.name and s.kind in ("source", "stage", "span")]
        pieces = [(s.name, s.busy_ms) for s in own]
        at = 0.0
        for name, spent in [*pieces, ("waiting", thread.waited_ms), ("unaccounted", max(0.0, thread.unaccounted_ms))]:
            share = 100 * spent / thread.wall_ms
            colour = keys.setdefault(name, fixed.get(name, f"s{sum(k not in fixed for k in keys) % 8 + 1}"))
            title = f"{name}: {share:.1f} %, {spent:.0f} ms"
            width = x(at + share) - x(at)
            body += svg.rectangle(x(at), y, width, ROW, colour, title=title)
            if name not in fixed and width > LETTER * len(name) + 12:
                body += svg.text(x(at) + 6, y + 16, name, kind="inside")
            at += share
    entries = [(colour, name) for name, colour in keys.items()]
    return svg.legend(entries) + svg.chart(body, height=height, name="shares of wall time")


def calibration(session: Session) -> str:
    """The IoU that each frame's calibration reached, and which frames have an older one or none."""
    rows = _rows(session, ("pts_seconds", "iou"))
    status = session.frame_columns.get("status", ())
    every = session.frame_columns.get("pts_seconds", ())
    if len(rows) < 2:
        return _nothing("No calibration was recorded.")
    height = 200
    x = svg.horizontal(rows[0][0], rows[-1][0])
    y = svg.vertical(0.0, 1.0, height=height)
    body = svg.axis_left(y) + svg.axis_below(x, height=height, label="seconds of the driving video")
    share = -(-len(rows) // MAX_POINTS)
    least = [min(rows[k : k + share], key=lambda row: row[1]) for k in range(0, len(rows), share)]
    body += svg.line([(x(at), y(iou)) for at, iou in least], "c1")
    for at, state in zip(every, status, strict=False):
        if isinstance(at, float) and state in ("held", "uncalibrated"):
            body += svg.rectangle(x(at), y(0.0) - 8, 2, 8, STATUS_COLOURS[str(state)], title=f"{state} at {at:.2f} s")
    keys = [("c1", "IoU"), (STATUS_COLOURS["held"], "held"), (STATUS_COLOURS["uncalibrated"], "uncalibrated")]
    return svg.legend(keys) + svg.chart(body, height=height, name="calibration IoU over time")


def drops(session: Session) -> str:
    """Which frames were dropped, repeated or held."""
    events = {name: ranges for name, ranges in session.events.items() if ranges}
    if not events:
        return _nothing("No frame was dropped, repeated or held.")
    height = svg.TOP + (ROW + 6) * len(events) + svg.BOTTOM
    last = max([*(ranges[-1][1] for ranges in events.values()), *session.frame_indices[-1:]])
    x = svg.horizontal(0.0, last + 1.0, left=NAMES)
    body = svg.axis_below(x, height=height, label="frame")
    for place, (name, ranges) in enumerate(events.items()):
        y = svg.TOP + (ROW + 6) * place
        body += svg.text(0, y + 16, f"{name}: {session.event_count(name)}")
        for first, end in _merged(ranges, (last + 1) / MAX_POINTS):
            title = f"{name}: {first}" if first == end else f"{name}: {first} to {end}"
            body += svg.rectangle(x(first), y, x(end + 1) - x(first), ROW, EVENT_COLOURS.get(name, "c2"), title=title)
    return svg.chart(body, height=height, name="dropped, repeated and held frames")


def _merged(ranges: Sequence[tuple[int, int]], gap: float) -> list[tuple[int, int]]:
    """Ranges nearer than a pixel become one: half of a long run's frames may be dropped."""
    merged: list[tuple[int, int]] = []
    for first, end in ranges:
        if merged and first - merged[-1][1] <= gap:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((first, end))
    return merged


def _rows(session: Session, names: Sequence[str]) -> list[Numbers]:
    """These columns, of the frames that have all of them."""
    columns = [session.frame_columns.get(name, ()) for name in names]
    rows = zip(*columns, strict=False)
    return [[float(v) for v in row if v is not None] for row in rows if None not in row]


def _own(name: str) -> str:
    return name.rpartition("/")[2].strip()


def _nothing(words: str) -> str:
    return f"<p class=note>{words}</p>"
