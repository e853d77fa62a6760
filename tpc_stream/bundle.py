"""Opening a bundle: found by name or path, its hashes and specs checked, refused with what differs."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tpc_stream.errors import BundleError
from tpc_stream.manifest import ConditioningSpec, GraphSpec, Manifest, Role, TensorSpec, read_manifest

DEFAULT_BUNDLE = "mannequin"

# What the runtime can give to each role, and what it must get back. A graph that asks for more is refused.
_INPUTS: dict[Role, frozenset[str]] = {
    "encode": frozenset({"images", "mattes"}),
    "tokens": frozenset({"images", "mattes"}),
    "reference": frozenset({"latents", "mattes", "timesteps"}),
    "pose": frozenset({"keypoints"}),
    "denoise": frozenset({"latents", "timesteps", "calibrated_index"}),
    "decode": frozenset({"latents"}),
}
_OUTPUTS: dict[Role, frozenset[str]] = {
    "encode": frozenset({"latents"}),
    "denoise": frozenset({"output"}),
    "decode": frozenset({"images"}),
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle: the manifest's facts, and graphs whose bytes are the manifest's."""

    folder: Path
    manifest: Manifest

    @property
    def feature_graph(self) -> GraphSpec:
        """The graph that writes the features r and c_i: the reference network, or the image encoder."""
        return self.manifest.graphs[_feature_role(self.manifest.conditioning)]

    @property
    def feature_count(self) -> int:
        """How many feature arrays the feature graph writes, in order: they become reference_NN and calibrated_NN."""
        return len(self.feature_graph.outputs)


def bundle_folders() -> Iterator[Path]:
    """Where bundles are looked for by name: a checkout's own `engines/` first, then the installed data folder."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        yield checkout / "engines"
    yield Path(sysconfig.get_path("data")) / "share" / "tpc-stream" / "engines"


def find_bundle(name: str | Path) -> Path:
    """The folder of a bundle given by path, or by name in `bundle_folders()`; BundleError if there is none."""
    path = Path(name)
    if path.is_dir():
        return path
    places = list(bundle_folders())
    if path.name == str(name):
        for place in places:
            if (place / path / "manifest.toml").is_file():
                return place / path
    raise BundleError(f"no bundle {str(name)!r}: neither a folder nor in {', '.join(map(str, places))}")


def open_bundle(name: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Finds, reads and checks a bundle; BundleError says which file, hash, name or shape is wrong."""
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    _check_roles(manifest, folder)
    for graph in manifest.graphs.values():
        for path, expected in ((graph.path, graph.sha256), *graph.data):
            _check_hash(path, expected)
    return Bundle(folder=folder, manifest=manifest)


def _feature_role(conditioning: ConditioningSpec) -> Role:
    return "reference" if conditioning.kind == "bank" else "tokens"


def _check_hash(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise BundleError(f"the bundle lacks {path}; restore it or export the bundle again") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; restore it or export the bundle again") from error
    if found != expected:
        raise BundleError(
            f"{path} is not the file of its manifest: sha256 {found[:12]}..., expected {expected[:12]}...; "
            "restore it or export the bundle again"
        )


def _check_roles(manifest: Manifest, folder: Path) -> None:
    needed: set[Role] = {"encode", "decode", "pose", "denoise", _feature_role(manifest.conditioning)}
    missing = sorted(needed - set(manifest.graphs))
    if missing:
        raise BundleError(f"{folder}: the manifest lacks the graphs {', '.join(missing)}")
    if manifest.width % manifest.latent_downscale or manifest.height % manifest.latent_downscale:
        raise BundleError(
            f"{folder}: {manifest.width}x{manifest.height} pixels are no multiple of {manifest.latent_downscale}"
        )
    denoise = manifest.graphs["denoise"]
    features = manifest.graphs[_feature_role(manifest.conditioning)].outputs
    pose = manifest.graphs["pose"].outputs
    for role, graph in manifest.graphs.items():
        known = _INPUTS[role]
        if role == "denoise":
            numbered = {f"{kind}_{k:02d}" for kind in ("reference", "calibrated") for k in range(len(features))}
            known = known | numbered | {tensor.name for tensor in pose}
            lacking = sorted((known - {"timesteps"}) - graph.input_names)
            if lacking:
                raise BundleError(f"{folder}: the denoise graph lacks the inputs {', '.join(lacking)}")
        unknown = sorted(graph.input_names - known)
        if unknown:
            raise BundleError(f"{folder}: the {role} graph asks for {', '.join(unknown)}; known are {sorted(known)}")
        lacking = sorted(_OUTPUTS.get(role, frozenset()) - set(graph.output_names))
        if lacking:
            raise BundleError(f"{folder}: the {role} graph lacks the outputs {', '.join(lacking)}")
    inputs = {tensor.name: tensor for tensor in denoise.inputs}
    for k, feature in enumerate(features):
        for kind in ("reference", "calibrated"):
            _check_last_axis(feature, inputs[f"{kind}_{k:02d}"], folder)
    for tensor in pose:
        _check_last_axis(tensor, inputs[tensor.name], folder)
    latents = ("latents", manifest.graphs["encode"].outputs), ("output", denoise.outputs), ("latents", denoise.inputs)
    for name, tensors in latents:
        shape = next(tensor.shape for tensor in tensors if tensor.name == name)
        if shape[1:] != manifest.latent_shape:
            raise BundleError(f"{folder}: {name} is {shape}, but a frame's latents are {manifest.latent_shape}")


def _check_last_axis(written: TensorSpec, read: TensorSpec, folder: Path) -> None:
    if len(written.shape) != len(read.shape) or written.shape[-1] != read.shape[-1] or written.dtype != read.dtype:
        raise BundleError(f"{folder}: the denoise graph reads {read}, which does not fit {written}")
