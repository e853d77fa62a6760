"""Reading manifest.toml into `Manifest`, strictly: every mistake is told with its file, table and key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tpc_stream.errors import BundleError
from tpc_stream.manifest import (
    DRAWINGS,
    FORMAT,
    ROLES,
    SCHEDULES,
    ConditioningSpec,
    GraphSpec,
    GuidanceSpec,
    Manifest,
    PixelsSpec,
    PoseSpec,
    Role,
    SamplingSpec,
    Schedule,
    TensorSpec,
    WindowSpec,
)
from tpc_stream.toml_table import Table


def read_manifest(folder: Path) -> Manifest:
    """Reads `folder/manifest.toml`; BundleError names the file, the key and what differs."""
    source = folder / "manifest.toml"
    try:
        data = tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder} is no bundle: it has no manifest.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{source} is not valid TOML: {error}") from error
    except OSError as error:
        raise BundleError(f"{source} cannot be read: {error.strerror}") from error
    top = Table(data, "top level", source)
    version = top.take("format", int)
    if version != FORMAT:
        raise BundleError(f"{source} has format {version}; this tpc-stream reads format {FORMAT}")
    frame = Table(top.take("frame", dict), "frame", source)
    latent = Table(top.take("latent", dict), "latent", source)
    manifest = Manifest(
        name=top.take("name", str),
        version=top.take("version", str),
        licence=top.take("licence", str),
        origin=top.take("origin", str),
        width=frame.positive("width"),
        height=frame.positive("height"),
        latent_channels=latent.positive("channels"),
        latent_downscale=latent.positive("downscale"),
        window=_window(Table(top.take("window", dict), "window", source)),
        sampling=_sampling(Table(top.take("sampling", dict), "sampling", source)),
        conditioning=_conditioning(Table(top.take("conditioning", dict), "conditioning", source)),
        graphs=_graphs(top.take("graphs", dict), folder, source),
        guidance=_guidance(Table(top.take("guidance", dict, {}), "guidance", source)),
        pose=_pose(Table(top.take("pose", dict, {}), "pose", source)),
        pixels=_pixels(Table(top.take("pixels", dict), "pixels", source)) if "pixels" in data else None,
    )
    for table in (frame, latent, top):
        table.done()
    return manifest


def _window(table: Table) -> WindowSpec:
    spec = WindowSpec(
        length=table.positive("length"),
        overlap=table.positive("overlap", least=0),
        max_length=table.positive("max_length"),
        temporal=table.take("temporal", bool),
        noise_period=table.positive("noise_period", least=0),
    )
    table.done()
    if not spec.overlap < spec.length <= spec.max_length:
        raise BundleError(
            f"{table.source}: [window] needs overlap < length <= max_length, "
            f"has {spec.overlap}, {spec.length}, {spec.max_length}"
        )
    return spec


def _sampling(table: Table) -> SamplingSpec:
    spec = SamplingSpec(
        scheduler=table.choice("scheduler", ("flow", "ddim", "pndm")),
        prediction=table.choice("prediction", ("sample", "epsilon", "v_prediction")),
        steps=table.positive("steps"),
        guidance_scale=table.take("guidance_scale", float),
        num_train_timesteps=table.positive("num_train_timesteps", 1000),
        beta_start=table.take("beta_start", float, 0.00085),
        beta_end=table.take("beta_end", float, 0.012),
        beta_schedule=table.choice("beta_schedule", ("linear", "scaled_linear"), "linear"),
        timestep_spacing=table.choice("timestep_spacing", ("leading", "trailing", "linspace"), "leading"),
        steps_offset=table.positive("steps_offset", 0, least=0),
        set_alpha_to_one=table.take("set_alpha_to_one", bool, True),
        rescale_zero_terminal_snr=table.take("rescale_zero_terminal_snr", bool, False),
        start=table.choice("start", ("noise", "reference"), "noise"),
    )
    table.done()
    return spec


def _schedules(table: Table) -> tuple[Schedule, ...]:
    names = table.take("schedules", list, ["window"])
    unknown = [name for name in names if name not in SCHEDULES]
    if unknown or "window" not in names:
        raise BundleError(f"{table.source}: [{table.where}] schedules are window and perhaps diagonal, are {names!r}")
    return tuple(names)


def _conditioning(table: Table) -> ConditioningSpec:
    spec = ConditioningSpec(
        kind=table.choice("kind", ("bank", "tokens")),
        screened=table.take("screened", bool),
        schedules=_schedules(table),
        background=table.choice("background", ("masked", "painted"), "masked"),
    )
    table.done()
    return spec


def _guidance(table: Table) -> GuidanceSpec:
    spec = GuidanceSpec(
        kind=table.choice("kind", ("reference", "reference_and_pose"), "reference"),
        unconditional=table.choice("unconditional", ("no_tokens", "zeros", "written"), "no_tokens"),
        reference_scale=table.take("reference_scale", float, 1.0),
    )
    table.done()
    return spec


def _pose(table: Table) -> PoseSpec:
    spec = PoseSpec(
        drawing=table.choice("drawing", DRAWINGS, "keypoints"),
        frames_before=table.positive("frames_before", 0, least=0),
        frames_after=table.positive("frames_after", 0, least=0),
    )
    table.done()
    if spec.drawing == "keypoints" and spec.stacked > 1:
        raise BundleError(f"{table.source}: [pose] frames are stacked as pictures; the drawing is {spec.drawing!r}")
    return spec


def _pixels(table: Table) -> PixelsSpec:
    spec = PixelsSpec(
        size=table.positive("size"),
        mean=_three(table, "mean"),
        std=_three(table, "std"),
        resize=table.choice("resize", ("shortest_edge", "exact"), "shortest_edge"),
        masked=table.take("masked", bool, False),
    )
    table.done()
    if min(spec.std) <= 0:
        raise BundleError(f"{table.source}: [pixels] std must be above 0, is {list(spec.std)}")
    return spec


def _three(table: Table, key: str) -> tuple[float, float, float]:
    values = table.take(key, list)
    if len(values) != 3 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise BundleError(f"{table.source}: [{table.where}] {key} must be three numbers, is {values!r}")
    return (float(values[0]), float(values[1]), float(values[2]))


def _graphs(tables: Mapping[str, Any], folder: Path, source: Path) -> Mapping[Role, GraphSpec]:
    unknown = sorted(set(tables) - set(ROLES))
    if unknown:
        raise BundleError(f"{source}: unknown roles {', '.join(unknown)}; the roles are {', '.join(ROLES)}")
    graphs: dict[Role, GraphSpec] = {}
    for role, data in tables.items():
        table = Table(data, f"graphs.{role}", source)
        graphs[cast(Role, role)] = GraphSpec(
            role=cast(Role, role),
            path=table.file(folder),
            sha256=table.take("sha256", str),
            inputs=_tensors(table, "inputs"),
            outputs=_tensors(table, "outputs"),
            data=_data(table, folder),
        )
        table.done()
    return graphs


def _data(graph: Table, folder: Path) -> tuple[tuple[Path, str], ...]:
    files = []
    for number, item in enumerate(graph.take("data", list, [])):
        table = Table(item, f"{graph.where}.data[{number}]", graph.source)
        files.append((table.file(folder), table.take("sha256", str)))
        table.done()
    return tuple(files)


def _tensors(table: Table, key: str) -> tuple[TensorSpec, ...]:
    specs = []
    for name, data in table.take(key, dict).items():
        tensor = Table(data, f"{table.where}.{key}.{name}", table.source)
        shape = tuple(tensor.take("shape", list))
        if not all(isinstance(n, int | str) and not isinstance(n, bool) for n in shape):
            raise BundleError(f"{table.source}: [{tensor.where}] shape holds numbers and names, is {list(shape)!r}")
        specs.append(TensorSpec(name=name, dtype=tensor.take("dtype", str), shape=shape))
        tensor.done()
    return tuple(specs)
