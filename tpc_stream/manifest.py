"""A bundle's manifest: everything that the runtime must know about a system, as frozen data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from tpc_stream.errors import BundleError
from tpc_stream.toml_table import Table

Role = Literal["encode", "decode", "tokens", "reference", "pose", "denoise"]
ROLES: tuple[Role, ...] = get_args(Role)
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a graph."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    """A number is fixed, a name is free; equal names within one graph are equal sizes."""

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One ONNX graph of a bundle."""

    role: Role
    path: Path
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: tuple[tuple[Path, str], ...] = ()
    """External weight files with their sha256."""

    @property
    def input_names(self) -> frozenset[str]:
        return frozenset(tensor.name for tensor in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(tensor.name for tensor in self.outputs)


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How many frames the denoiser sees at once."""

    length: int
    """Frames in a window unless the user says otherwise."""
    overlap: int
    max_length: int
    temporal: bool
    """Whether frames see each other in the network; without that, overlap changes nothing but the cost."""
    noise_period: int
    """0: every frame has a noise of its own; 1: all share one; n: n noises repeat along the video."""


@dataclass(frozen=True, slots=True)
class SamplingSpec:
    """The scheduler and the defaults of the denoising loop."""

    scheduler: Literal["flow", "ddim"]
    prediction: Literal["sample", "epsilon", "v_prediction"]
    steps: int
    guidance_scale: float
    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    timestep_spacing: Literal["leading", "trailing", "linspace"] = "leading"
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    rescale_zero_terminal_snr: bool = False


@dataclass(frozen=True, slots=True)
class ConditioningSpec:
    """How the reference enters."""

    kind: Literal["bank", "tokens"]
    """bank: the features that a reference network writes; tokens: an image encoder's, in cross-attention."""
    screened: bool
    """Whether the reference loses its background before it is encoded; the calibrated one always does."""
    schedules: tuple[str, ...] = ("window",)
    """How frames may meet noise levels: "window", and "diagonal" if trained for mixed levels."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's manifest.toml."""

    name: str
    version: str
    licence: str
    origin: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    latent_channels: int
    latent_downscale: int
    """Pixels a latent cell spans on each axis."""
    window: WindowSpec
    sampling: SamplingSpec
    conditioning: ConditioningSpec
    graphs: Mapping[Role, GraphSpec]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns)."""
        return (self.latent_channels, self.height // self.latent_downscale, self.width // self.latent_downscale)


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
        scheduler=table.choice("scheduler", ("flow", "ddim")),
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
    )
    table.done()
    return spec


def _conditioning(table: Table) -> ConditioningSpec:
    spec = ConditioningSpec(
        kind=table.choice("kind", ("bank", "tokens")),
        screened=table.take("screened", bool),
        schedules=tuple(table.take("schedules", list, ["window"])),
    )
    table.done()
    return spec


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
