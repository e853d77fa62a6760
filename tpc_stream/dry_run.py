"""The plan of a run, told before it starts; or told alone, and nothing else done."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rich.console import Console

from tpc_stream.forecast import alternatives, forecast
from tpc_stream.motion import open_as
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.source import SourceInfo


def dry_run(reference: str | Path, motion: str | Path, *, options: AnimateOptions, console: Console) -> None:
    """Says what a run would do and what it would reach here; animates nothing of the motion."""
    with closing(open_as(options, motion)) as driving, Animator(options) as animator:
        tell_plan(animator, driving.info, console)
        animator.set_reference(reference)
        tell_forecast(animator, driving.info, console)


def tell_plan(animator: Animator, info: SourceInfo, console: Console) -> None:
    """What follows from the options alone."""
    _say(console, animator.plan.describe(info.rate, info.frame_count_estimate))


def tell_forecast(animator: Animator, info: SourceInfo, console: Console) -> None:
    """What the engines give here, measured for about two seconds; the reference has to be set."""
    with animator.profiler.span("forecast"):
        measured = forecast(animator)
    _say(console, measured.describe(animator.plan, info.rate, alternatives(animator.bundle, animator.options)))


def _say(console: Console, lines: list[str]) -> None:
    for line in lines:
        style = "yellow" if line.startswith("warning") else ""
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
