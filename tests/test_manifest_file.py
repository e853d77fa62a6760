from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.errors import BundleError
from tpc_stream.manifest import GuidanceSpec, PixelsSpec, PoseSpec
from tpc_stream.manifest_file import read_manifest

TABLES = """
[guidance]
kind = "reference_and_pose"
unconditional = "zeros"
reference_scale = 8
[pose]
drawing = "densepose_uv"
frames_before = 2
frames_after = 1
[pixels]
size = 224
mean = [0.1, 0.2, 0.3]
std = [1, 2.5, 3]
resize = "exact"
masked = true
"""


def extended(folder: Path, tables: str) -> Path:
    made = make_tiny_bundle(folder / "tiny")
    manifest = made / "manifest.toml"
    manifest.write_text(manifest.read_text() + tables)
    return made


def test_tables_that_are_not_there_have_the_embedded_bundles_meaning(tiny: Path) -> None:
    manifest = read_manifest(tiny)
    assert manifest.guidance == GuidanceSpec("reference", "no_tokens")
    assert manifest.pose == PoseSpec("keypoints", 0, 0) and manifest.pose.stacked == 1
    assert manifest.pixels is None
    assert manifest.sampling.start == "noise" and manifest.conditioning.background == "masked"


def test_every_table_is_read(tmp_path: Path) -> None:
    manifest = read_manifest(extended(tmp_path, TABLES))
    assert manifest.guidance == GuidanceSpec("reference_and_pose", "zeros", 8.0)
    assert manifest.pose == PoseSpec("densepose_uv", 2, 1) and manifest.pose.stacked == 4
    assert manifest.pixels == PixelsSpec(224, (0.1, 0.2, 0.3), (1.0, 2.5, 3.0), "exact", True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "reference_and_pose"', 'kind = "both"', r"\[guidance\] kind must be one of reference, reference_and_"),
        ('unconditional = "zeros"', 'unconditional = "blank"', "no_tokens, zeros, written, is 'blank'"),
        ("reference_scale = 8", "reference_scale = inf", "reference_scale must be finite"),
        ('drawing = "densepose_uv"', 'drawing = "keypoints"', "frames are stacked as pictures"),
        ('drawing = "densepose_uv"', 'drawing = "stick"', r"\[pose\] drawing must be one of keypoints, dwpose"),
        ("frames_before = 2", "frames_before = -1", "frames_before must be at least 0"),
        ("size = 224", "", r"\[pixels\] lacks 'size'"),
        ("mean = [0.1, 0.2, 0.3]", "mean = [0.1, 0.2]", "mean must be three numbers"),
        ("std = [1, 2.5, 3]", "std = [1, 0, 3]", "std must be above 0"),
        ("std = [1, 2.5, 3]", "std = [1, true, 3]", "std must be three numbers"),
        ("masked = true", "masked = true\ncolour = 1", r"\[pixels\] has unknown keys: colour"),
    ],
)
def test_a_wrong_table_names_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert TABLES.count(old) == 1
    with pytest.raises(BundleError, match=message):
        read_manifest(extended(tmp_path, TABLES.replace(old, new)))
