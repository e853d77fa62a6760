"""A bundle's manifest: everything that the runtime must know about a system, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Role = Literal["encode", "decode", "tokens", "reference", "pose", "denoise"]
ROLES: tuple[Role, ...] = get_args(Role)
Drawing = Literal["keypoints", "dwpose", "openpose18", "densepose", "densepose_uv"]
DRAWINGS: tuple[Drawing, ...] = get_args(Drawing)
Schedule = Literal["window", "diagonal"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
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

    scheduler: Literal["flow", "ddim", "pndm"]
    prediction: Literal["sample", "epsilon", "v_prediction"]
    steps: int
    guidance_scale: float
    """1.0: no guidance; otherwise see `GuidanceSpec`."""
    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    timestep_spacing: Literal["leading", "trailing", "linspace"] = "leading"
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    rescale_zero_terminal_snr: bool = False
    start: Literal["noise", "reference"] = "noise"
    """What the first latents are: noise alone, or the reference's latents noised to the first level."""


@dataclass(frozen=True, slots=True)
class GuidanceSpec:
    """What guidance leaves out: see `tpc_stream.guidance`."""

    kind: Literal["reference", "reference_and_pose"] = "reference"
    """reference: guided away from what needs no reference; reference_and_pose: from what needs no pose as well."""
    unconditional: Literal["no_tokens", "zeros", "written"] = "no_tokens"
    """What stands for r and c_i where there is no reference: no tokens at all, zeros in place of r's tokens, or those
    that the feature graph writes as its outputs `unconditional_NN`."""
    reference_scale: float = 1.0
    """Of "reference_and_pose": the scale of what the reference adds; `guidance_scale` is that of the pose."""


@dataclass(frozen=True, slots=True)
class ConditioningSpec:
    """How the reference enters."""

    kind: Literal["bank", "tokens"]
    """bank: the features that a reference network writes; tokens: an image encoder's, in cross-attention."""
    screened: bool
    """Whether the reference loses its background before it is encoded; the calibrated one always does."""
    schedules: tuple[Schedule, ...] = ("window",)
    """How frames may meet noise levels: "window", and "diagonal" if trained for mixed levels."""
    background: Literal["masked", "painted"] = "masked"
    """What `background_latents` show where the person of the reference stood: mid grey, or the painted plate."""


@dataclass(frozen=True, slots=True)
class PoseSpec:
    """What the pose graph is told of a frame's pose."""

    drawing: Drawing = "keypoints"
    """keypoints: numbers; the others are pictures `pose_images`, see `tpc_stream.drawing`."""
    frames_before: int = 0
    """Pictures of so many frames before the frame's own are stacked before it, on the channel axis."""
    frames_after: int = 0
    """The same after it; the stream waits for them."""

    @property
    def stacked(self) -> int:
        """Pictures in `pose_images` for each frame."""
        return self.frames_before + 1 + self.frames_after


@dataclass(frozen=True, slots=True)
class PixelsSpec:
    """How a picture becomes the `pixels` of an image encoder."""

    size: int
    """Pixels on each side."""
    mean: tuple[float, float, float]
    """RGB, of values in [0, 1]."""
    std: tuple[float, float, float]
    resize: Literal["shortest_edge", "exact"] = "shortest_edge"
    """shortest_edge: aspect kept, the middle square cut out; exact: squeezed to size x size."""
    masked: bool = False
    """Whether the mask of the person multiplies the normalised values."""


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
    guidance: GuidanceSpec = GuidanceSpec()
    pose: PoseSpec = PoseSpec()
    pixels: PixelsSpec | None = None
    """Only where a graph asks for `pixels`."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns)."""
        return (self.latent_channels, self.height // self.latent_downscale, self.width // self.latent_downscale)
