from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.backends import open_backend
from tpc_stream.bundle import find_bundle, open_bundle
from tpc_stream.errors import BackendError, BundleError, InputError


def edit(folder: Path, old: str, new: str) -> None:
    manifest = folder / "manifest.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new, 1))


def test_a_good_bundle_opens_with_its_facts(tmp_path: Path) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path / "tiny", window=6, prediction="epsilon", scheduler="ddim"))
    assert bundle.manifest.latent_shape == (4, 8, 8)
    assert bundle.manifest.window.length == 6
    assert bundle.manifest.sampling.prediction == "epsilon"
    assert bundle.feature_graph.role == "reference"
    assert [tensor.name for tensor in bundle.features] == ["bank_00"]


def test_tokens_write_the_features_where_there_is_no_reference_network(tmp_path: Path) -> None:
    assert open_bundle(make_tiny_bundle(tmp_path / "tiny", kind="tokens")).feature_graph.role == "tokens"


def test_unknown_name_says_where_it_looked() -> None:
    with pytest.raises(BundleError, match=r"no bundle 'nobody'.*engines"):
        find_bundle("nobody")


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no manifest"):
        open_bundle(tmp_path)


def test_a_changed_graph_is_refused_by_its_hash(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    with (folder / "decode.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"decode\.onnx is not the file of its manifest: sha256"):
        open_bundle(folder)


def test_a_missing_graph_file_is_named(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    (folder / "pose.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks .*pose\.onnx"):
        open_bundle(folder)


def test_external_weights_are_checked_too(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    edit(folder, "[graphs.pose]\n", '[graphs.pose]\ndata = [{ file = "pose.data", sha256 = "00" }]\n')
    with pytest.raises(BundleError, match=r"lacks .*pose\.data"):
        open_bundle(folder)
    (folder / "pose.data").write_bytes(b"weights")
    with pytest.raises(BundleError, match=r"pose\.data is not the file"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 9", "format 9"),
        ("width = 32", "width = true", "width must be int"),
        ("width = 32\n", "", r"\[frame\] lacks 'width'"),
        ("width = 32", "width = 30", "no multiple of 4"),
        ("steps = 1", "steps = 0", "steps must be at least 1"),
        ("overlap = 0", "overlap = 8", "overlap < length"),
        ('scheduler = "flow"', 'scheduler = "euler"', "scheduler must be one of flow, ddim, pndm"),
        ("screened = false", "screened = false\ncolour = 1", r"\[conditioning\] has unknown keys: colour"),
        ("[graphs.pose]", "[graphs.poses]", "unknown roles poses"),
        ("channels = 4", "channels = 3", "latents"),
        ("name = ", "name ", "not valid TOML"),
        ('keypoints = { dtype = "float32"', 'stars = { dtype = "float32"', "the pose graph asks for stars"),
        ("shape = ['F', 4".replace("'", '"'), 'shape = ["F", true', "shape holds numbers and names"),
    ],
)
def test_a_wrong_manifest_names_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    edit(folder, old, new)
    with pytest.raises(BundleError, match=message):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('file = "pose.onnx"', 'file = "."', "tiny cannot be read: Is a directory"),
        (
            'file = "pose.onnx"',
            'file = "../pose.onnx"',
            r"\[graphs.pose\] file must lie in the bundle's folder, is '../",
        ),
        ('file = "pose.onnx"', 'file = "a/../../pose.onnx"', "must lie in the bundle's folder"),
        ('file = "pose.onnx"', 'file = "/etc/hostname"', "must lie in the bundle's folder, is '/etc/hostname'"),
        ("[graphs.pose]\n", "[graphs.pose]\ndata = [{ x = 1 }]\n", r"\[graphs.pose.data\[0\]\] lacks 'file'"),
        ("[graphs.pose]\n", "[graphs.pose]\ndata = [3]\n", r"\[graphs.pose.data\[0\]\] is missing or no table"),
        (
            "[graphs.pose]\n",
            '[graphs.pose]\ndata = [{ file = "../w", sha256 = "00" }]\n',
            r"\[graphs.pose.data\[0\]\] file must lie",
        ),
    ],
)
def test_a_wrong_graph_file_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    edit(folder, old, new)
    with pytest.raises(BundleError, match=message):
        open_bundle(folder)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1" + "0" * 400])
def test_guidance_must_be_finite(tmp_path: Path, value: str) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    manifest = folder / "manifest.toml"
    manifest.write_text(re.sub(r"guidance_scale = \S+", f"guidance_scale = {value}", manifest.read_text()))
    with pytest.raises(BundleError, match=r"guidance_scale must be finite, is -?(nan|inf)"):
        open_bundle(folder)


def test_a_manifest_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").mkdir()
    with pytest.raises(BundleError, match=r"manifest\.toml cannot be read: Is a directory"):
        open_bundle(tmp_path)


def test_features_must_fit_the_denoiser(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    edit(folder, 'shape = ["U", "K", 4]', 'shape = ["U", "K", 5]')
    with pytest.raises(BundleError, match=r"calibrated_00.*does not fit.*bank_00"):
        open_bundle(folder)


def test_the_denoiser_must_take_the_calibrated_features(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    edit(folder, "calibrated_index = {", "other_index = {")
    with pytest.raises(BundleError, match="the denoise graph lacks the inputs calibrated_index"):
        open_bundle(folder)


def test_a_graph_that_is_not_its_manifest_is_refused(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path / "tiny")
    edit(folder, 'shape = ["F", 17, 3]', 'shape = ["F", 18, 3]')
    bundle = open_bundle(folder)
    with pytest.raises(BundleError, match=r"the manifest says keypoints: float32\[F, 18, 3\], the graph keypoints"):
        open_backend("onnxrt").open(bundle.manifest.graphs["pose"])


def test_a_file_that_is_no_graph_is_a_backend_error(tmp_path: Path) -> None:
    bundle = open_bundle(make_tiny_bundle(tmp_path / "tiny"))
    bundle.manifest.graphs["pose"].path.write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"cannot open .*pose\.onnx"):
        open_backend("onnxrt").open(bundle.manifest.graphs["pose"])


def test_unknown_backend_lists_the_known() -> None:
    with pytest.raises(InputError, match="no backend 'abacus'; there are onnxrt"):
        open_backend("abacus")
