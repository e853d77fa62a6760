"""Reading checkpoint files: every format, and every way of being broken."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export.systems.checkpoint import read_config, read_tensors
from tpc_stream.errors import CheckpointError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4, dtype=torch.float16)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize("ending", ["bin", "pth", "ckpt", "pt"])
def test_reads_pickled_tensors(tmp_path: Path, ending: str) -> None:
    torch.save(TENSORS, tmp_path / f"net.{ending}")
    assert same(read_tensors(tmp_path / f"net.{ending}"))


def test_reads_safetensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "net.safetensors")
    assert same(read_tensors(tmp_path / "net.safetensors"))


def test_reads_the_format_before_zip(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_tensors(tmp_path / "old.pth"))


@pytest.mark.parametrize("wrapper", ["state_dict", "module", "model"])
def test_takes_the_weights_out_of_a_trainers_file(tmp_path: Path, wrapper: str) -> None:
    torch.save({wrapper: TENSORS, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "net.ckpt")
    assert same(read_tensors(tmp_path / "net.ckpt"))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path: Path, ending: str, kept: float) -> None:
    path = tmp_path / f"net.{ending}"
    save_file(TENSORS, path) if ending == "safetensors" else torch.save(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=r"net\..* is no whole .*fetch it again"):
        read_tensors(path)


class Opens:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "ran"
    content = {"a.weight": TENSORS["a.weight"], "evil": Opens(mark)}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.pth is a pickle with more than tensors.*was not run.*open"):
        read_tensors(tmp_path / "evil.pth")
    assert not mark.exists()


def test_a_bare_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "evil.bin").write_bytes(pickle.dumps({"evil": Opens(mark)}))
    with pytest.raises(CheckpointError, match=r"evil\.bin"):
        read_tensors(tmp_path / "evil.bin")
    assert not mark.exists()


def test_a_value_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    torch.save({"a.weight": TENSORS["a.weight"], "a.scale": 3}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"net\.pth: 'a\.scale' holds a int"):
        read_tensors(tmp_path / "net.pth")


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        read_tensors(tmp_path / "net.pth")


def test_a_pointer_of_git_lfs_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        read_tensors(path)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"'\.onnx'"):
        read_tensors(tmp_path / "net.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"net\.pth cannot be read"):
        read_tensors(tmp_path / "net.pth")


def test_the_config_beside_the_weights(tmp_path: Path) -> None:
    assert read_config(tmp_path / "net.pth") == {}
    (tmp_path / "config.json").write_text('{"norm_num_groups": 8}')
    assert read_config(tmp_path / "net.pth") == {"norm_num_groups": 8}
    for broken in ("{", "[1]"):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            read_config(tmp_path / "net.pth")
