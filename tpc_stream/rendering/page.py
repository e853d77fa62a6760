"""A Session as one web page: plots, figures and facts in one file that loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from tpc_stream.errors import SinkError
from tpc_stream.recording.ledger import PARTS
from tpc_stream.recording.session import Distribution, Session
from tpc_stream.rendering import charts
from tpc_stream.report import nested_stages, summary_lines
from tpc_stream.writing.whole_file import write_whole

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #fff; --ink: #1d2129; --soft: #5c6470; --grid: #e3e5e8;
  --c1: #3b76c4; --c2: #3a9d74; --c3: #dba12c; --c4: #8d6cc0; --c5: #cf4a3f; --rest: #d5d8dd;
  --s1: #3b76c4; --s2: #3a9d74; --s3: #dba12c; --s4: #8d6cc0; --s5: #3fa7b5; --s6: #c9699e; --s7: #8a8f3c;
  --s8: #a2673f; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --card: #1c2027; --ink: #e6e9ee; --soft: #9aa3b0;
  --grid: #30353e; --c1: #6ea4ec; --c2: #5fc39a; --c3: #e6b753; --c4: #b296e0; --c5: #ec7568; --rest: #3a404a;
  --s1: #6ea4ec; --s2: #5fc39a; --s3: #e6b753; --s4: #b296e0; --s5: #68c8d6; --s6: #e294bf; --s7: #b9be66;
  --s8: #c98d63; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 60rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
section { background: var(--card); border: 1px solid var(--grid); border-radius: 8px; padding: 1rem; margin: 1rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .75rem; }
.figures div { background: var(--card); border: 1px solid var(--grid); border-radius: 8px; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.2rem; font-weight: 600; white-space: nowrap; }
.figures span, .note, .sub { color: var(--soft); }
.figures span { font-size: .85rem; } .note { font-size: .9rem; margin: .3rem 0; }
svg { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; } svg text { fill: var(--soft); }
.grid { stroke: var(--grid); } .range { stroke: var(--rest); stroke-width: 3; }
.legend { margin: 0 0 .4rem; font-size: .85rem; color: var(--soft); }
.legend span { margin-right: 1rem; display: inline-block; }
svg .inside { fill: #fff; pointer-events: none; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: .15rem .5rem; text-align: right; border-bottom: 1px solid var(--grid); font-size: .9rem; }
td:first-child, th:first-child { text-align: left; } .facts td { text-align: left; overflow-wrap: anywhere; }
"""
COLUMNS = ("count", "mean", "p50", "p90", "p95", "p99", "max")


def render_page(session: Session) -> str:
    """The whole page, HTML 5 in ASCII; light or dark as the reader's system is."""
    context = session.context
    title = "tpc-stream: " + " by ".join(Path(str(context[k])).name for k in ("reference", "motion") if k in context)
    sections = [
        ("Latency over time", charts.latency_over_time(session)),
        ("Percentiles", charts.percentiles(session)),
        ("Shares of the wall time, by thread", charts.shares(session)),
        ("Calibration", charts.calibration(session)),
        ("Dropped, repeated and held frames", charts.drops(session)),
        ("Time per frame, milliseconds", _times(session)),
        ("In words", "".join(f"<p class=note>{escape(line)}</p>" for line in summary_lines(session))),
        ("Environment", _facts(session.environment)),
        ("Run", _facts(context)),
    ]
    body = "".join(f"<section><h2>{name}</h2>{content}</section>" for name, content in sections)
    page = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title.rstrip(': '))}</h1>"
        f'<p class="sub">{escape(str(context.get("finished", "")))}</p>{_figures(session)}{body}</body></html>\n'
    )
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def write_page(session: Session, path: Path) -> None:
    """Write the page, or nothing; SinkError where the file cannot be written."""
    try:
        write_whole(path, [render_page(session).encode("ascii")])
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; give a path that can be written") from error


def _figures(session: Session) -> str:
    figures = [(f"{session.fps:.1f}", "frames/s"), (str(session.frames), f"frames in {session.wall_seconds:.1f} s")]
    if session.first_frame_seconds is not None:
        figures.append((f"{session.first_frame_seconds:.2f} s", "to the first frame"))
    if session.end_to_end is not None:
        times = session.end_to_end.latency
        figures += [(f"{times.p50_ms:.0f} ms", "end to end, p50"), (f"{times.p99_ms:.0f} ms", "end to end, p99")]
        figures.append((f"{session.end_to_end.unaccounted_share:.1%}", "of it unaccounted"))
    if session.deadline is not None:
        figures.append((f"{session.deadline.miss_rate:.1%}", f"late for {session.deadline.fps:g} frames/s"))
    figures += [(str(session.event_count(event)), event) for event in ("dropped", "repeated", "held")]
    cards = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in figures)
    return f'<div class="figures">{cards}</div>'


def _times(session: Session) -> str:
    rows: list[tuple[str, Distribution]] = []
    if session.end_to_end is not None:
        rows = [("end to end", session.end_to_end.latency)]
        rows += [(part, getattr(session.end_to_end, part)) for part in PARTS]
    rows += [(stage.name, stage.self_ms) for stage in nested_stages(session.stages)]
    rows += [(f"in queue {queue.name}", queue.residence) for queue in session.queues]
    head = "".join(f"<th>{name}</th>" for name in ("", *COLUMNS))
    lines = ""
    for name, times in rows:
        values = [f"{getattr(times, f'{column}_ms'):.2f}" for column in COLUMNS[1:]]
        lines += f"<tr><td>{escape(name)}</td><td>{times.count}</td>" + "".join(f"<td>{v}</td>" for v in values)
    return f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>'


def _facts(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value if isinstance(value, str) else json.dumps(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f'<table class="facts">{rows}</table>' if rows else "<p class=note>Nothing was noted.</p>"
