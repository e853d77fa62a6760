"""SAM's export: any of its layouts, equal to torch, whole or not at all; and wrong files are refused."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from export import sam
from export.sam_graphs import difference, export_graphs
from export.sam_networks import SamLayout, _sam_modeling, build_sam, load_sam, read_layout
from tests.tiny_sam import TINY, random_sam, write_checkpoint
from tpc_stream.errors import BundleError, CheckpointError
from tpc_stream.people.sam_bundle import open_sam_bundle


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.pth")


@pytest.mark.parametrize(
    ("name", "width", "heads", "depth", "whole"),
    [
        ("vit_b", 768, 12, 12, (2, 5, 8, 11)),
        ("vit_l", 1024, 16, 24, (5, 11, 17, 23)),
        ("vit_h", 1280, 16, 32, (7, 15, 23, 31)),
    ],
)
def test_the_layout_of_each_sam_is_read_off_its_tensors(
    name: str, width: int, heads: int, depth: int, whole: tuple[int, ...]
) -> None:
    with torch.device("meta"), _sam_modeling():
        build = getattr(importlib.import_module("segment_anything.build_sam"), f"build_sam_{name}")
        theirs = build().state_dict()
        layout = read_layout(theirs, Path("sam.pth"))
        own = build_sam(layout)
    assert layout == SamLayout(
        image_size=1024, patch_size=16, embed_dim=width, depth=depth, heads=heads, window_size=14, global_blocks=whole,
        prompt_dim=256, mask_channels=16, decoder_depth=2, decoder_mlp_dim=2048, masks=4, score_depth=3, score_dim=256,
    )  # fmt: skip
    assert layout.name == name
    assert {key: value.shape for key, value in own.state_dict().items()} == {k: v.shape for k, v in theirs.items()}


def test_the_networks_come_without_the_package_that_wants_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "segment_anything", raising=False)
    build_sam(TINY)
    assert "segment_anything" not in sys.modules and "torchvision" not in sys.modules


def test_the_graphs_are_torchs_and_the_folder_opens(tiny_sam: Path, checkpoint: Path) -> None:
    assert sorted(path.name for path in tiny_sam.iterdir()) == ["decode.onnx", "encode.onnx", "manifest.toml"]
    network, layout = load_sam(checkpoint)
    assert layout == TINY
    assert difference(network, layout, tiny_sam) <= 1e-4
    bundle = open_sam_bundle(tiny_sam)
    assert bundle.image_size == 256 and bundle.variant == "vit_32x3"
    assert not [path for path in tiny_sam.parent.iterdir() if path.suffix != ".pth" and path != tiny_sam]


def test_other_weights_would_show(tiny_sam: Path) -> None:
    assert difference(random_sam(TINY, seed=1), TINY, tiny_sam) > 1e-2


@pytest.mark.slow
def test_large_weights_lie_beside_the_graph(tmp_path: Path, checkpoint: Path) -> None:
    network, layout = load_sam(checkpoint)
    files = export_graphs(network, layout, tmp_path, largest=1000)
    assert [len(paths) for paths in files.values()] == [2, 2]
    assert difference(network, layout, tmp_path) <= 1e-4


# ---- what is refused


class Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.fixture
def broken(tmp_path: Path, checkpoint: Path) -> Iterator[dict[str, Path]]:
    whole = checkpoint.read_bytes()
    other = torch.load(checkpoint, weights_only=True)
    files = {name: tmp_path / f"{name}.pth" for name in ("cut", "text", "empty", "code", "lacks", "nan", "besides")}
    files["cut"].write_bytes(whole[: len(whole) // 2])
    files["text"].write_text("not a checkpoint")
    files["empty"].write_bytes(b"")
    files["code"].write_bytes(pickle.dumps(Malice(), protocol=2))
    key = "mask_decoder.iou_token.weight"
    torch.save({k: v for k, v in other.items() if k != key}, files["lacks"])
    torch.save({**other, key: torch.full_like(other[key], torch.nan)}, files["nan"])
    torch.save({**other, "extra": torch.zeros(1)}, files["besides"])
    return files


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut", "no whole checkpoint"),
        ("text", "checkpoint"),
        ("empty", "no whole checkpoint"),
        ("code", "could run code; it was not run"),
        ("lacks", "lacks mask_decoder.iou_token.weight"),
        ("nan", "NaN or infinity in mask_decoder.iou_token.weight"),
        ("besides", "has besides extra"),
        ("absent", "there is no checkpoint"),
    ],
)
def test_a_wrong_checkpoint_is_one_line_and_leaves_nothing(
    broken: dict[str, Path], tmp_path: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sam.main(["--checkpoint", str(broken.get(name, tmp_path / "absent.pth")), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and name in line and words in line
    assert not out.exists()


def test_the_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth is no SAM checkpoint: it lacks image_encoder"):
        load_sam(tmp_path / "other.pth")


def test_a_folder_is_replaced_only_when_asked_and_only_by_a_whole_one(
    broken: dict[str, Path],
    tmp_path: Path,
    tiny_sam: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copied(network: object, layout: object, folder: Path) -> dict[str, list[Path]]:
        files = {role: [folder / f"{role}.onnx"] for role in ("encode", "decode")}
        for (path,) in files.values():
            path.write_bytes((tiny_sam / path.name).read_bytes())
        return files

    monkeypatch.setattr(sam, "export_graphs", copied)  # an export takes seconds, and this is not about it
    out = tmp_path / "sam"
    out.mkdir()
    (out / "manifest.toml").write_text("old")
    assert sam.main(["--checkpoint", str(checkpoint), "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert sam.main(["--checkpoint", str(broken["nan"]), "--out", str(out), "--overwrite"]) == 2
    assert (out / "manifest.toml").read_text() == "old"
    assert sam.main(["--checkpoint", str(checkpoint), "--out", str(out), "--overwrite"]) == 0
    assert open_sam_bundle(out).image_size == 256
    assert not list(tmp_path.glob(".*"))


def test_a_folder_of_something_else_is_never_replaced(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    assert sam.main(["--checkpoint", str(checkpoint), "--out", str(tmp_path), "--overwrite"]) == 2
    assert "not replaced" in capsys.readouterr().err


def test_graphs_that_differ_from_torch_are_not_written(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (2e-4, float("nan")):
        monkeypatch.setattr(sam, "difference", lambda *a, wrong=wrong: wrong)
        monkeypatch.setattr(sam, "export_graphs", lambda *a: {})
        with pytest.raises(CheckpointError, match="differ from torch"):
            sam.export_sam(checkpoint, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []


def _copy(folder: Path, to: Path, **changes: tuple[str, str]) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    text = (to / "manifest.toml").read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    (to / "manifest.toml").write_text(text)
    return to


def test_a_changed_or_foreign_folder_is_refused(tiny_sam: Path, tmp_path: Path) -> None:
    changed = _copy(tiny_sam, tmp_path / "changed")
    with (changed / "decode.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=r"decode\.onnx is not the file of its manifest.*export sam"):
        open_sam_bundle(changed)
    with pytest.raises(BundleError, match=r"its kind is 'dog', not 'sam'"):
        open_sam_bundle(_copy(tiny_sam, tmp_path / "kind", kind=('"sam"', '"dog"')))
    with pytest.raises(BundleError, match="std must be above 0"):
        open_sam_bundle(_copy(tiny_sam, tmp_path / "std", std=("58.395", "0.0")))
    with pytest.raises(BundleError, match="unknown keys: colour"):
        open_sam_bundle(_copy(tiny_sam, tmp_path / "key", key=("masks = 4", "masks = 4\ncolour = 1")))
    with pytest.raises(BundleError, match=r"has no manifest\.toml; make it with `python -m export sam"):
        open_sam_bundle(tmp_path)
    (changed / "encode.onnx").unlink()
    with pytest.raises(BundleError, match=r"encode\.onnx cannot be read"):
        open_sam_bundle(changed)
