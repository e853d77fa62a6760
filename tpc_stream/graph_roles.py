"""What the runtime can give to the graph of each role and must get back, and a bundle's graphs held against that."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tpc_stream.errors import BundleError
from tpc_stream.manifest import ConditioningSpec, GraphSpec, Manifest, Role, TensorSpec

_INPUTS: dict[Role, frozenset[str]] = {
    "encode": frozenset({"images", "mattes"}),
    "tokens": frozenset({"images", "mattes", "pixels", "latents"}),
    "reference": frozenset({"latents", "mattes", "timesteps", "context"}),
    "pose": frozenset({"keypoints", "pose_images", "latents", "timesteps", "context"}),
    "denoise": frozenset({"latents", "timesteps", "calibrated_index", "context", "background_latents"}),
    "decode": frozenset({"latents"}),
}
_OUTPUTS: dict[Role, frozenset[str]] = {
    "encode": frozenset({"latents"}),
    "denoise": frozenset({"output"}),
    "decode": frozenset({"images"}),
}
_CHANNELS = {"dwpose": 3, "openpose18": 3, "densepose": 3, "densepose_uv": 2}
"""Of one pose picture."""
UNCONDITIONAL = "unconditional_"
"""What the names of outputs begin with that stand for the features of no reference."""


def feature_role(conditioning: ConditioningSpec) -> Role:
    """The role that writes r and c_i."""
    return "reference" if conditioning.kind == "bank" else "tokens"


def has_context(manifest: Manifest) -> bool:
    """Whether a token graph stands beside a reference network and writes `context`."""
    return manifest.conditioning.kind == "bank" and "tokens" in manifest.graphs


def feature_outputs(graph: GraphSpec) -> tuple[TensorSpec, ...]:
    """The outputs of the feature graph that become reference_NN and calibrated_NN, in order."""
    return tuple(tensor for tensor in graph.outputs if not tensor.name.startswith(UNCONDITIONAL))


def unconditional_outputs(graph: GraphSpec) -> tuple[TensorSpec, ...]:
    """The outputs of the feature graph that stand for no reference."""
    return tuple(tensor for tensor in graph.outputs if tensor.name.startswith(UNCONDITIONAL))


def check_roles(manifest: Manifest, folder: Path) -> None:
    """BundleError unless every role is there, asks only for what is given, and fits its neighbours."""
    needed: set[Role] = {"encode", "decode", "pose", "denoise", feature_role(manifest.conditioning)}
    missing = sorted(needed - set(manifest.graphs))
    if missing:
        raise BundleError(f"{folder}: the manifest lacks the graphs {', '.join(missing)}")
    if manifest.width % manifest.latent_downscale or manifest.height % manifest.latent_downscale:
        raise BundleError(
            f"{folder}: {manifest.width}x{manifest.height} pixels are no multiple of {manifest.latent_downscale}"
        )
    features = feature_outputs(manifest.graphs[feature_role(manifest.conditioning)])
    for role, graph in manifest.graphs.items():
        known = _INPUTS[role]
        if role == "denoise":
            wanted = _denoise_inputs(manifest, features)
            known = known | wanted
            _require(folder, "denoise", "inputs", wanted, graph.input_names)
        unknown = sorted(graph.input_names - known)
        if unknown:
            raise BundleError(f"{folder}: the {role} graph asks for {', '.join(unknown)}; known are {sorted(known)}")
        _require(folder, role, "outputs", _OUTPUTS.get(role, frozenset()), graph.output_names)
    _check_tables(manifest, folder)
    _check_shapes(manifest, features, folder)


def _denoise_inputs(manifest: Manifest, features: tuple[TensorSpec, ...]) -> frozenset[str]:
    numbered = {f"{kind}_{k:02d}" for kind in ("reference", "calibrated") for k in range(len(features))}
    pose = set(manifest.graphs["pose"].output_names)
    context = {"context"} if has_context(manifest) else set()
    return frozenset({"latents", "calibrated_index"} | numbered | pose | context)


def _require(folder: Path, role: str, kind: str, wanted: Iterable[str], found: Iterable[str]) -> None:
    lacking = sorted(set(wanted) - set(found))
    if lacking:
        raise BundleError(f"{folder}: the {role} graph lacks the {kind} {', '.join(lacking)}")


def _check_tables(manifest: Manifest, folder: Path) -> None:
    """What graphs ask for must be described by a table of the manifest."""
    graphs = manifest.graphs
    for role, graph in graphs.items():
        if "pixels" in graph.input_names and manifest.pixels is None:
            raise BundleError(f"{folder}: the {role} graph asks for pixels, but the manifest has no [pixels]")
        if "context" in graph.input_names and not has_context(manifest):
            raise BundleError(f"{folder}: the {role} graph asks for context, but no tokens graph writes it")
    if has_context(manifest):
        _require(folder, "tokens", "outputs", {"context"}, graphs["tokens"].output_names)
    pose, drawing = graphs["pose"], manifest.pose.drawing
    asked = "keypoints" if drawing == "keypoints" else "pose_images"
    _require(folder, "pose", "inputs", {asked}, pose.input_names)
    if {"keypoints", "pose_images"} <= pose.input_names:
        raise BundleError(f"{folder}: the pose graph asks for keypoints and pose_images; [pose] drawing is one of them")
    if drawing != "keypoints":
        wanted = (_CHANNELS[drawing] * manifest.pose.stacked, manifest.height, manifest.width)
        shape = next(tensor.shape for tensor in pose.inputs if tensor.name == "pose_images")
        if shape[1:] != wanted:
            raise BundleError(f"{folder}: pose_images is {shape}, but {drawing} pictures of a frame are {wanted}")
    graph = graphs[feature_role(manifest.conditioning)]
    written = len(unconditional_outputs(graph))
    if written and written != len(feature_outputs(graph)):
        raise BundleError(f"{folder}: the {graph.role} graph writes {written} of its features for no reference")
    if manifest.guidance.unconditional == "written" and not written:
        raise BundleError(f"{folder}: the {graph.role} graph lacks the outputs {UNCONDITIONAL}NN that [guidance] names")


def _check_shapes(manifest: Manifest, features: tuple[TensorSpec, ...], folder: Path) -> None:
    denoise = manifest.graphs["denoise"]
    inputs = {tensor.name: tensor for tensor in denoise.inputs}
    for k, feature in enumerate(features):
        for kind in ("reference", "calibrated"):
            _check_last_axis(feature, inputs[f"{kind}_{k:02d}"], folder)
    for tensor in manifest.graphs["pose"].outputs:
        _check_last_axis(tensor, inputs[tensor.name], folder)
    latents = ("latents", manifest.graphs["encode"].outputs), ("output", denoise.outputs), ("latents", denoise.inputs)
    for name, tensors in latents:
        shape = next(tensor.shape for tensor in tensors if tensor.name == name)
        if shape[1:] != manifest.latent_shape:
            raise BundleError(f"{folder}: {name} is {shape}, but a frame's latents are {manifest.latent_shape}")


def _check_last_axis(written: TensorSpec, read: TensorSpec, folder: Path) -> None:
    if len(written.shape) != len(read.shape) or written.shape[-1] != read.shape[-1] or written.dtype != read.dtype:
        raise BundleError(f"{folder}: the denoise graph reads {read}, which does not fit {written}")
