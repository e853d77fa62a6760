"""`tpc-stream inspect`: what a bundle, a profile, a video or a picture is, for people."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from tpc_stream.bundle import bundle_folders, open_bundle
from tpc_stream.errors import InputError
from tpc_stream.manifest import Manifest
from tpc_stream.recording.session import Session
from tpc_stream.report import render_table
from tpc_stream.source import probe


def describe(path: str | Path) -> RenderableType:
    """What is at `path`, to be printed; a TpcStreamError if it cannot be read."""
    place = Path(path)
    if (place / "manifest.toml").is_file() or _is_bundle_name(str(path)):
        return _bundle(path)
    if place.suffix == ".json" and place.is_file():
        return _profile(place)
    return _media(path)


def _is_bundle_name(name: str) -> bool:
    return not Path(name).exists() and any((folder / name / "manifest.toml").is_file() for folder in bundle_folders())


def _bundle(path: str | Path) -> RenderableType:
    bundle = open_bundle(path)
    manifest = bundle.manifest
    facts = _facts(f"bundle {manifest.name}, version {manifest.version}: every file is as its manifest says")
    facts.add_row("folder", str(bundle.folder))
    facts.add_row("licence", manifest.licence)
    facts.add_row("origin", manifest.origin)
    facts.add_row("frame", f"{manifest.width}x{manifest.height} pixels")
    facts.add_row("latents", "x".join(map(str, manifest.latent_shape)))
    facts.add_row(
        "window",
        f"{manifest.window.length} frames (at most {manifest.window.max_length}), overlap {manifest.window.overlap}, "
        + ("frames see each other" if manifest.window.temporal else "frames do not see each other"),
    )
    sampling = manifest.sampling
    facts.add_row(
        "sampling",
        f"{sampling.scheduler}, predicts {sampling.prediction}, "
        f"{sampling.steps} steps, guidance {sampling.guidance_scale:g}",
    )
    facts.add_row(
        "conditioning", f"{manifest.conditioning.kind}; schedules: {', '.join(manifest.conditioning.schedules)}"
    )
    return Group(facts, _graphs(manifest))


def _graphs(manifest: Manifest) -> Table:
    table = Table(title="graphs", title_justify="left", pad_edge=False)
    for column in ("role", "file", "MB", "inputs", "outputs"):
        table.add_column(column)
    for role, graph in manifest.graphs.items():
        size = sum(path.stat().st_size for path in (graph.path, *(path for path, _ in graph.data)))
        table.add_row(
            role,
            graph.path.name,
            f"{size / 1e6:.1f}",
            "\n".join(map(str, graph.inputs)).replace("[", "\\["),
            "\n".join(map(str, graph.outputs)).replace("[", "\\["),
        )
    return table


def _profile(path: Path) -> RenderableType:
    try:
        session = Session.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no profile of tpc-stream: {error}") from error
    return render_table(session)


def _media(path: str | Path) -> RenderableType:
    info = probe(path)
    facts = _facts(f"{info.kind} {info.url}")
    facts.add_row("size", f"{info.width}x{info.height} pixels, {info.pixel_format}, {info.codec}")
    facts.add_row("rate", f"{float(info.rate):.3f} frames/s ({info.rate})" if info.rate else "not said")
    facts.add_row("variable rate", "perhaps" if info.variable_rate else "no")
    facts.add_row("frames", "not known" if info.frame_count_estimate is None else str(info.frame_count_estimate))
    facts.add_row("duration", "not known" if info.duration_seconds is None else f"{float(info.duration_seconds):.3f} s")
    facts.add_row(
        "turned by its metadata", f"{info.rotation_degrees} degrees" + (", mirrored" if info.mirrored else "")
    )
    facts.add_row("sound tracks", str(info.audio_streams))
    facts.add_row("alpha", "yes" if info.has_alpha else "no")
    return facts


def _facts(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    return table
