"""Opening a bundle: found by name or path, its hashes and specs checked, refused with what differs."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tpc_stream.errors import BundleError
from tpc_stream.graph_roles import check_roles, feature_outputs, feature_role
from tpc_stream.manifest import GraphSpec, Manifest, TensorSpec
from tpc_stream.manifest_file import read_manifest

DEFAULT_BUNDLE = "mannequin"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle: the manifest's facts, and graphs whose bytes are the manifest's."""

    folder: Path
    manifest: Manifest

    @property
    def feature_graph(self) -> GraphSpec:
        """The graph that writes the features r and c_i: the reference network, or the image encoder."""
        return self.manifest.graphs[feature_role(self.manifest.conditioning)]

    @property
    def features(self) -> tuple[TensorSpec, ...]:
        """The feature arrays that the feature graph writes, in order: they become reference_NN and calibrated_NN."""
        return feature_outputs(self.feature_graph)


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
    check_roles(manifest, folder)
    for graph in manifest.graphs.values():
        for path, expected in ((graph.path, graph.sha256), *graph.data):
            _check_hash(path, expected)
    return Bundle(folder=folder, manifest=manifest)


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
