"""The published keys and shapes against our networks at real width."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.check import main
from export.manifest_check import differences
from tpc_stream.errors import CheckpointError

pytestmark = pytest.mark.samples


def test_every_manifest_matches(shared: Path) -> None:
    files = sorted((shared / "manifests").glob("*/*.json"))
    assert len(files) == 27
    found = [differences(path) for path in files]
    assert [(item.system, item.network, item.lines) for item in found if item.lines] == []
    excused = {key for item in found for key in item.excused}
    assert all(key.endswith("embeddings.position_ids") for key in excused)
    assert sum(item.keys for item in found) > 10_000


def test_what_differs_is_told(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((shared / "manifests" / "dreampose" / "unet.json").read_text())
    manifest["tensors"]["conv_in.weight"][1] = 4
    manifest["tensors"]["conv_in.gain"] = [320]
    del manifest["tensors"]["conv_out.bias"]
    path = tmp_path / "unet.json"
    path.write_text(json.dumps(manifest))
    assert main(["--manifest", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "conv_in.weight: [320, 4, 3, 3] float32, ours [320, 14, 3, 3] float32" in printed
    assert "missing in ours: conv_in.gain [320]" in printed
    assert "only in ours: conv_out.bias [4]" in printed
    assert "n_elements says" in printed


BAD = ("{", "[]", '{"system": "disco", "network": "unet"}', '{"system": "a", "network": "b", "tensors": {}}')


@pytest.mark.parametrize("text", BAD)
def test_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"m\.json"):
        differences(tmp_path / "m.json")
    assert main(["--manifest", str(tmp_path / "m.json")]) == 2
