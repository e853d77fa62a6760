"""Our networks against the authors' numbers, of all systems."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.check import main
from export.golden.compare import compare, tolerance
from export.golden.dreampose import DreamPoseRun
from export.golden.golden_set import NAMES, find_sets, read_set
from tpc_stream.errors import CheckpointError

pytestmark = [pytest.mark.samples, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("name", NAMES)
def test_float64_agrees(shared: Path, name: str) -> None:
    golden = read_set(shared / "golden" / name / "public")
    rows = list(compare(golden, torch.float64))
    assert sorted(row.name for row in rows) == list(golden.names)
    assert [str(row) for row in rows if not row.passed] == []
    exact = [row.error for row in rows if row.against == "float64"]
    assert len(exact) >= 4
    assert max(exact) < 1e-12, "the same arithmetic, not just close to it"


@pytest.mark.parametrize(
    "name", ["disco_tm", "dreampose", *(pytest.param(n, marks=pytest.mark.slow) for n in list(NAMES)[:3])]
)
def test_float32_agrees(shared: Path, name: str) -> None:
    golden = read_set(shared / "golden" / name / "public")
    rows = list(compare(golden, torch.float32))
    assert sorted(row.name for row in rows) == list(golden.names)
    assert [str(row) for row in rows if not row.passed] == []


def test_the_command_prints_every_output_and_fails_on_another_set(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared / "golden" / "dreampose" / "public"
    options = ["--dtype", "float32", "--threads", "1"]
    assert main(["--golden", str(source), *options]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name}\n" in printed for name in read_set(source).names)
    assert "all agree" in printed
    other = tmp_path / "sets" / "other"
    other.mkdir(parents=True)
    for path in source.iterdir():
        if path.name != "config.json":
            (other / path.name).symlink_to(path)
    config = json.loads((source / "config.json").read_text())
    config["pipeline"]["s1"] = 0.6
    (other / "config.json").write_text(json.dumps(config))
    assert main(["--golden", str(tmp_path), *options]) == 1
    printed = capsys.readouterr().out
    assert f"dreampose: {other}" in printed
    failed = [line.split()[-1] for line in printed.splitlines() if "FAIL" in line]
    assert failed
    assert all(name.startswith("pipeline/") for name in failed), "the direct outputs know nothing of s1"


def test_an_output_that_we_do_not_compute_fails(shared: Path) -> None:
    golden = read_set(shared / "golden" / "dreampose" / "public")
    more = replace(golden, outputs={**golden.outputs, "unet/other": torch.zeros(1)})
    (row,) = [row for row in compare(more, torch.float32) if not row.passed]
    assert row.name == "unet/other"
    assert "not computed" in str(row)


def test_dreamposes_strong_loop_may_be_further_off(shared: Path) -> None:
    golden = read_set(shared / "golden" / "dreampose" / "public")
    strong = replace(golden, config={**golden.config, "pipeline": {**golden.config["pipeline"], "s1": 8, "s2": 3}})
    assert tolerance(golden, "pipeline/frame_0/final_latents", "float32") == 3e-5
    assert tolerance(strong, "pipeline/frame_0/final_latents", "float32") == 2e-3
    assert tolerance(strong, "unet/noise_pred", "float32") == 3e-5
    assert tolerance(golden, "pipeline/frame_0/final_latents", "float64") == 5e-6


def test_a_folder_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no golden set"):
        find_sets(tmp_path)


def test_guidance_is_a_batch_of_the_same_passes(shared: Path) -> None:
    """A guided set holds [neither, image and pose, image]; the middle is what the unguided set holds."""
    golden = read_set(shared / "golden" / "dreampose" / "public")
    config = {**golden.config, "direct": {**golden.config["direct"], "cfg": True}}
    with torch.no_grad():
        made = dict(DreamPoseRun(replace(golden, config=config), torch.float64).direct())
    for name in ("unet/noise_pred", "tpc/noise_pred_r_c"):
        neither, both, image = made[name].chunk(3)
        assert torch.allclose(both, golden.outputs[f"f64/{name}"], rtol=0, atol=1e-12)
        assert (neither - both).abs().max() > 0.01
        assert (image - both).abs().max() > 0.01
