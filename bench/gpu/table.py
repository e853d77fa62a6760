"""The rows as Markdown, and our bars held against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.gpu.bars import bars
from bench.gpu.memory_watch import EVERY_SECONDS
from bench.gpu.rows import Row
from bench.gpu.sizes import FULL, REHEARSAL

TIMES = ("p50, ms", "p90", "p99")
PASSES = ("backend", "graph", "frames", "TPC", "PSNR, dB", *TIMES, "events", "of matmul", "of limit", "peak, GB")
LOOPS = (
    "backend", "schedule", "VAE", "steps", "frames", "TPC", "frames/s", *TIMES, "outside engines", "of limit",
    "peak, GB",
)  # fmt: skip
CODINGS = ("video", "by", "frames/s", "p50, ms a frame", "p90", "p99", "PSNR, dB", "kB a frame", "peak, GB")
NOTES = (
    "*Of matmul*: arithmetic of the row over that ceiling; *of limit*: the longer of what arithmetic and bytes need at "
    "best, over the time it took (bytes as if nothing stayed in a cache). *Events*: between two CUDA events. *Outside "
    "engines*: with a wait after each pass. *PSNR*: against torch in float32. *Peak*: the most memory of the card that "
    "was in use while the row was measured, above what was in use before the backend's process began: weights, "
    "workspaces, what allocators keep, CUDA's own context. Another process asks the driver every "
    f"{1e3 * EVERY_SECONDS:g} ms; nothing else should run on the card."
)
VIDEO = (
    "Video of {pixels}x{pixels} between files and pictures in the host's memory, colours converted, by the product's "
    "own reader and writer at their own settings; without the first frame, in which files and codecs are opened. An "
    "encoder that looks ahead gives frames back in bursts: frames/s, with the file's end, tells more than p50 there. "
    "Software decodes with all cores and encodes with one thread. *PSNR*: the worst of the first pictures, against "
    "those that were made up; what is decoded is what software encoded."
)


def markdown(
    title: str,
    ceilings: Mapping[str, Any],
    versions: Mapping[str, str],
    rows: Sequence[Row],
    *,
    seconds: float,
    rehearsal: bool,
) -> str:
    """Everything that was measured, and what was not."""
    lines = [f"# {title}", ""]
    lines += [", ".join(f"{name} {found}" for name, found in versions.items()) + f"; {seconds:.0f} s in all.", ""]
    lines += [
        f"Ceilings, measured: {ceilings['flops'] / 1e12:.2f} TFLOP/s (fp16 product), "
        f"{ceilings['bytes_per_second'] / 1e9:.0f} GB/s (copy on the card, read and written). {NOTES}",
        "",
    ]
    lines += _table(PASSES, [_pass(row) for row in rows if row.kind == "pass" and row.what != "pictures"])
    lines += _table(LOOPS, [_loop(row) for row in rows if row.kind == "loop"])
    pictures = [row for row in rows if row.kind == "pass" and row.what == "pictures"]
    told = [row for row in pictures if row.psnr_db is not None]
    lines += [f"Pictures of {row.backend}: {row.psnr_db:.1f} dB." for row in told]
    codings = [row for row in rows if row.kind == "codec"]
    if codings:
        lines += ["", VIDEO.format(pixels=(REHEARSAL if rehearsal else FULL).pixels), ""]
        lines += _table(CODINGS, [_coding(row) for row in codings])
    if not rehearsal:
        lines += ["", "| bar | measured | |", "|---|---|---|"]
        lines += [f"| {bar.what} | {bar.measured} | {bar.verdict} |" for bar in bars(rows)]
    for kind, head in (("absent", "Absent"), ("left out", "Left out, for want of time")):
        told = [row for row in rows if row.kind == kind]
        if told:
            lines += ["", f"{head}:", ""]
            lines += [f"- {_named(row)}" for row in told]
    return "\n".join(lines) + "\n"


def _named(row: Row) -> str:
    parts = [row.backend, row.what, row.vae and f"{row.vae} VAE"]
    parts += [f"{n} {name}" for n, name in ((row.steps, "steps"), (row.frames, "frames")) if n]
    parts += ["" if row.tpc is None else f"TPC {'on' if row.tpc else 'off'}"]
    return ", ".join(str(part) for part in parts if part)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(cells)} |" for cells in rows),
        "",
    ]


def _pass(row: Row) -> tuple[str, ...]:
    graph = f"{row.what} ({row.vae})" if row.what in ("encode", "decode") else row.what
    return (
        row.backend, graph, str(row.frames or ""), _switch(row.tpc), _number(row.psnr_db, 1), _number(row.p50_ms, 2),
        _number(row.p90_ms, 2), _number(row.p99_ms, 2), _number(row.events_ms, 2), _share(row.of_matmul),
        _share(row.of_limit), _number(row.peak_gb, 1),
    )  # fmt: skip


def _loop(row: Row) -> tuple[str, ...]:
    return (
        row.backend, row.what, row.vae, str(row.steps), str(row.frames), _switch(row.tpc), _number(row.fps, 1),
        _number(row.p50_ms, 1), _number(row.p90_ms, 1), _number(row.p99_ms, 1), _share(row.outside),
        _share(row.of_limit), _number(row.peak_gb, 1),
    )  # fmt: skip


def _coding(row: Row) -> tuple[str, ...]:
    return (
        row.what, row.backend, _number(row.fps, 1), _number(row.p50_ms, 2), _number(row.p90_ms, 2),
        _number(row.p99_ms, 2), _number(row.psnr_db, 1), _number(row.kilobytes, 1), _number(row.peak_gb, 1),
    )  # fmt: skip


def _switch(value: bool | None) -> str:
    return "" if value is None else "on" if value else "off"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
