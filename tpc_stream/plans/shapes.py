"""The shapes that a plan is built for: from the free axes of a bundle's graphs to (smallest, usual, largest)."""

from __future__ import annotations

from dataclasses import dataclass

from tpc_stream.errors import BackendError, InputError
from tpc_stream.graph_roles import feature_outputs, feature_role
from tpc_stream.manifest import GraphSpec, Manifest, TensorSpec

Shape = tuple[int, ...]
_SHARED = 4
"""Frames that share a calibrated feature unless the user says otherwise (m): so many rows are usual where drawn frames
stand, fewer frames than in the window."""
_FRAME_ROLES = ("pose", "denoise", "decode")


@dataclass(frozen=True, slots=True)
class ProfileShape:
    """What one input may be."""

    name: str
    smallest: Shape
    usual: Shape
    """What the builder makes fast."""
    largest: Shape

    def __str__(self) -> str:
        return f"{self.name} {_text(self.smallest)} to {_text(self.largest)}, usually {_text(self.usual)}"

    def holds(self, shape: Shape) -> bool:
        """Whether an array of that shape is within."""
        return len(shape) == len(self.smallest) and all(
            low <= size <= high for low, size, high in zip(self.smallest, shape, self.largest, strict=True)
        )


def profile_shapes(manifest: Manifest, graph: GraphSpec, *, frames: int = 0) -> tuple[ProfileShape, ...]:
    """For each input of a graph of the manifest, in order.

    frames: the most that enter one pass; 0: the bundle's window. The tokens of r and c_i may be none (guidance,
    --no-tpc) or those of one picture. BackendError for a free axis that nothing in the manifest gives a length to.
    """
    if frames < 0:
        raise InputError(f"a plan is for 1 frame or more, got {frames}")
    usual = manifest.window.length
    most = frames or usual
    return tuple(_input_shapes(manifest, graph, tensor, min(usual, most), most) for tensor in graph.inputs)


def _input_shapes(manifest: Manifest, graph: GraphSpec, tensor: TensorSpec, usual: int, most: int) -> ProfileShape:
    low: list[int] = []
    middle: list[int] = []
    high: list[int] = []
    for place, axis in enumerate(tensor.shape):
        if isinstance(axis, int):
            sizes = axis, axis, axis
        elif place == 0:
            features = tensor.name.startswith("calibrated_") and tensor.name != "calibrated_index"
            drawn = features or graph.role not in _FRAME_ROLES
            sizes = 1, -(-usual // _SHARED) if drawn else usual, most
        else:
            tokens = _tokens(manifest, graph, tensor, place)
            sizes = 0, tokens, tokens
        for out, size in zip((low, middle, high), sizes, strict=True):
            out.append(size)
    return ProfileShape(tensor.name, tuple(low), tuple(middle), tuple(high))


def _tokens(manifest: Manifest, graph: GraphSpec, tensor: TensorSpec, place: int) -> int:
    """How many tokens one picture has in reference_NN or calibrated_NN: the feature graph's output NN says."""
    kind, _, number = tensor.name.rpartition("_")
    features = feature_outputs(manifest.graphs[feature_role(manifest.conditioning)])
    if place == 1 and kind in ("reference", "calibrated") and number.isdecimal() and int(number) < len(features):
        count = features[int(number)].shape[1]
        if isinstance(count, int):
            return count
        if manifest.conditioning.kind == "bank":
            # the manifest leaves it open; a reference network has a token a cell of the latents, or fewer deeper down
            return manifest.latent_shape[1] * manifest.latent_shape[2]
    raise BackendError(
        f"{graph.path}: nothing in the manifest says how long axis {tensor.shape[place]!r} of {tensor.name} can be; "
        "a plan needs it: export with a fixed length"
    )


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
