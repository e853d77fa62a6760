"""Checkpoints in their published layout: found, loaded whole, or refused with every reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from export.systems.loading import compare
from export.systems.parts import POSITION_IDS, Part, Sources, find, locate
from export.systems.random_checkpoint import WRITERS, random_system, write_random_checkpoint
from export.systems.registry import SYSTEMS, load_system, system_class
from tpc_stream.errors import CheckpointError, InputError

Change = Callable[[dict[str, Tensor]], None]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dreampose(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return write_random_checkpoint("dreampose", tmp_path_factory.mktemp("dreampose"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_was_published_comes_back(tmp_path: Path, name: str) -> None:
    published = random_system(name, seed=1)
    system, report = load_system(name, WRITERS[name](published, tmp_path))
    before, after = published.state_dict(), system.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(tensor.is_meta for tensor in (*system.parameters(), *system.buffers()))
    assert {part.name for part in system_class(name).parts(Sources(tmp_path))} == set(report.files)
    assert all(str(path) in "\n".join(report.lines) for path in report.files.values())


def test_half_precision_and_the_tiny_vae(tmp_path: Path) -> None:
    sources = write_random_checkpoint("dreampose", tmp_path, vae_kind="tiny")
    path = sources.checkpoint / "unet_epoch_20.pth"
    torch.save({key: value.half() for key, value in torch.load(path).items()}, path)
    system, _ = load_system("dreampose", sources)
    assert system.unet.conv_in.weight.dtype == torch.float32
    latents = system.vae_encoder(torch.zeros(1, 3, 32, 48))
    assert latents.shape == (1, 4, 4, 6)
    assert system.vae_decoder(latents).shape == (1, 3, 32, 48)


def test_taesd_as_it_was_first_published(tmp_path: Path) -> None:
    sources = write_random_checkpoint("dreampose", tmp_path, vae_kind="tiny")
    whole, _ = load_system("dreampose", sources)
    assert sources.vae is not None
    tensors = load_file(sources.vae / "diffusion_pytorch_model.safetensors")
    halves: dict[str, dict[str, Tensor]] = {"encoder": {}, "decoder": {}}
    for key, value in tensors.items():
        half, _, number, rest = key.split(".", 3)
        # the decoder's clamp was its layer 0
        halves[half][f"{int(number) + (half == 'decoder')}.{rest}"] = value
    pair = tmp_path / "pair"
    pair.mkdir()
    save_file(halves["encoder"], pair / "taesd_encoder.safetensors")
    torch.save(halves["decoder"], pair / "taesd_decoder.pth")
    system, _ = load_system("dreampose", replace(sources, vae=pair))
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.vae.state_dict().values(), system.vae.state_dict().values(), strict=True)
    )


def broken(sources: Sources, folder: Path, name: str, change: Change) -> Sources:
    """The checkpoint again, with one pickled file changed."""
    shutil.copytree(sources.checkpoint, folder / "own")
    tensors = torch.load(folder / "own" / name)
    change(tensors)
    torch.save(tensors, folder / "own" / name)
    return replace(sources, checkpoint=folder / "own")


def test_every_wrong_key_is_reported_at_once(dreampose: Sources, tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors["module.conv_in.weight"]
        del tensors["module.down_blocks.0.resnets.0.conv1.weight"]
        tensors["module.conv_in.gain"] = torch.ones(2)
        tensors["module.conv_out.bias"] = torch.ones(5)
        tensors["module.up_blocks.3.resnets.0.norm1.bias"][3] = float("nan")

    sources = broken(dreampose, tmp_path, "unet_epoch_20.pth", change)
    torch.save({"linear1.bias": torch.ones(17)}, sources.checkpoint / "adapter_20.pth")
    with pytest.raises(CheckpointError) as caught:
        load_system("dreampose", sources)
    lines = sorted(line.rsplit("/", 1)[1] for line in str(caught.value).splitlines())
    assert lines == [
        "adapter_20.pth: missing key linear1.weight [17, 21]",
        "adapter_20.pth: missing key vae2clip.bias [64]",
        "adapter_20.pth: missing key vae2clip.weight [64, 1280]",
        "unet_epoch_20.pth: key conv_out.bias has shape [5], not [4]",
        "unet_epoch_20.pth: missing key conv_in.weight [32, 14, 3, 3]",
        "unet_epoch_20.pth: missing key down_blocks.0.resnets.0.conv1.weight [32, 32, 3, 3]",
        "unet_epoch_20.pth: unexpected key conv_in.gain [2]",
        "unet_epoch_20.pth: up_blocks.3.resnets.0.norm1.bias holds values that are not finite",
    ]


def test_another_systems_unet_is_refused(dreampose: Sources, tmp_path: Path) -> None:
    def four_channels(tensors: dict[str, Tensor]) -> None:
        tensors["module.conv_in.weight"] = tensors["module.conv_in.weight"][:, :4]

    with pytest.raises(CheckpointError, match=r"conv_in\.weight has shape \[32, 4, 3, 3\], not \[32, 14, 3, 3\]"):
        load_system("dreampose", broken(dreampose, tmp_path, "unet_epoch_20.pth", four_channels))


def test_a_config_that_fits_no_network_is_refused(dreampose: Sources, tmp_path: Path) -> None:
    shutil.copytree(dreampose.checkpoint, tmp_path / "own")
    (tmp_path / "own" / "config.json").write_text('{"norm_num_groups": 7}')
    with pytest.raises(CheckpointError, match=r"no dreampose has the widths of .*unet_epoch_20\.pth"):
        load_system("dreampose", replace(dreampose, checkpoint=tmp_path / "own"))


def test_a_truncated_part_is_named(dreampose: Sources, tmp_path: Path) -> None:
    shutil.copytree(dreampose.checkpoint, tmp_path / "own")
    path = tmp_path / "own" / "vae_20.pth"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"vae_20\.pth is no whole checkpoint"):
        load_system("dreampose", replace(dreampose, checkpoint=tmp_path / "own"))


def test_all_missing_files_are_named_with_their_origin(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_system("magicanimate", Sources(tmp_path))
    lines = str(caught.value).splitlines()
    assert [line.split(",")[0] for line in lines] == [
        f"missing: {name}"
        for name in ("unet", "motion_module", "appearance_encoder", "controlnet", "text_encoder", "vae")
    ]
    assert all("Get it from https://" in line for line in lines)
    assert "temporal_attention/temporal_attention.ckpt" in lines[1]
    assert "--base (not given): unet/diffusion_pytorch_model.safetensors" in lines[0]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="given as --vae-checkpoint"):
        locate((), Sources(tmp_path, vae=tmp_path / "none"))


def test_a_folder_given_for_one_part_is_the_only_one(dreampose: Sources, tmp_path: Path) -> None:
    """An empty --vae is an error, not a reason to take another VAE that lies around."""
    with pytest.raises(CheckpointError, match=f"missing: vae, looked for in {tmp_path}"):
        load_system("dreampose", replace(dreampose, vae=tmp_path))


def test_the_last_epoch_is_taken(tmp_path: Path) -> None:
    for epoch in (9, 10, 2):
        torch.save({}, tmp_path / f"unet_epoch_{epoch}.pth")
    unet = system_class("dreampose").parts(Sources(tmp_path))[0]
    assert find(unet, Sources(tmp_path)) == tmp_path / "unet_epoch_10.pth"


def test_discos_file_may_be_given_itself_and_holds_nothing_else(tmp_path: Path) -> None:
    sources = write_random_checkpoint("disco", tmp_path)
    path = tmp_path / "mp_rank_00_model_states.pt"
    content = torch.load(path)
    content["module"]["text_encoder.weight"] = torch.ones(2)
    del content["module"]["refer_clip_proj.weight"]
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        load_system("disco", replace(sources, checkpoint=path))
    assert set(str(caught.value).splitlines()) == {
        f"{path}: unexpected key text_encoder.weight",
        f"{path}: missing key refer_clip_proj.weight [32, 64]",
    }


def test_an_unknown_system() -> None:
    with pytest.raises(InputError, match=r"'animatediff'; one of magicanimate, animate-anyone"):
        load_system("animatediff", Sources(Path()))


def test_excused_keys_are_told_and_no_others_pass() -> None:
    part = Part("net", "net", (("checkpoint", ""),), "", excuses=(POSITION_IDS,))
    expected = {"a": torch.ones(2)}
    found = {"a": torch.ones(2), "x.embeddings.position_ids": torch.ones(1), "embeddings.position_id": torch.ones(1)}
    wrong, excused = compare(expected, found, part)
    assert wrong == ["unexpected key embeddings.position_id [1]"]
    assert len(excused) == 1
    assert "x.embeddings.position_ids" in excused[0]
