"""From published keys to the networks' own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.systems.key_names import (
    bare_tensors,
    bare_vae_tensors,
    modern_vae_key,
    motion_tensors,
    old_vae_key,
    shifted_taesd_decoder,
)
from tpc_stream.errors import CheckpointError

ONE, TWO = torch.ones(1), torch.full((1,), 2.0)
HERE = Path("net.pth")


@pytest.mark.parametrize("prefix", ["", "module.", "unet.", "module.unet."])
def test_a_trainers_prefix_goes(prefix: str) -> None:
    found = bare_tensors({f"{prefix}conv_in.weight": ONE, f"{prefix}conv_in.bias": TWO}, path=HERE)
    assert found == {"conv_in.weight": ONE, "conv_in.bias": TWO}


def test_a_prefix_that_only_some_keys_have_stays() -> None:
    """It is then reported as an unexpected key, not guessed at."""
    assert set(bare_tensors({"module.a": ONE, "b": TWO}, path=HERE)) == {"module.a", "b"}


def test_a_key_with_and_without_prefix_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"net\.pth holds 'module\.a' both"):
        bare_tensors({"module.a": ONE, "a": TWO}, path=HERE)


MOTION = "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"


@pytest.mark.parametrize(
    ("prefix", "spatial"), [("", True), ("module.", True), ("unet.", False), ("module.unet.", False)]
)
def test_the_motion_file_may_hold_the_whole_unet(prefix: str, spatial: bool) -> None:
    """The authors' loader takes the spatial part too, unless the keys begin with "unet."."""
    found = motion_tensors({f"{prefix}{MOTION}": ONE, f"{prefix}conv_in.bias": TWO}, path=HERE)
    assert found == ({MOTION: ONE, "conv_in.bias": TWO} if spatial else {MOTION: ONE})


def test_the_motion_file_may_not_hold_a_key_twice() -> None:
    with pytest.raises(CheckpointError, match="twice"):
        motion_tensors({MOTION: ONE, f"unet.{MOTION}": TWO}, path=HERE)


@pytest.mark.parametrize(
    ("old", "new"), [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")]
)
def test_old_vae_names_go_there_and_back(old: str, new: str) -> None:
    before, after = (f"decoder.mid_block.attentions.0.{name}.weight" for name in (old, new))
    assert modern_vae_key(before) == after
    assert old_vae_key(after) == before
    assert modern_vae_key(after) == after


def test_attention_weights_that_were_convolutions_become_matrices() -> None:
    weight = torch.randn(3, 3, 1, 1)
    found = bare_vae_tensors(
        {"encoder.mid_block.attentions.0.query.weight": weight, "quant_conv.weight": weight}, path=HERE
    )
    assert torch.equal(found["encoder.mid_block.attentions.0.to_q.weight"], weight[:, :, 0, 0])
    assert found["quant_conv.weight"].shape == (3, 3, 1, 1)


def test_both_names_of_one_tensor_are_refused() -> None:
    names = [f"encoder.mid_block.attentions.0.{name}.weight" for name in ("query", "to_q")]
    with pytest.raises(CheckpointError, match="old and its new name"):
        bare_vae_tensors(dict.fromkeys(names, ONE), path=HERE)


def test_the_original_taesd_decoder_counts_its_clamp() -> None:
    assert set(shifted_taesd_decoder({"1.weight": ONE, "3.conv.0.weight": ONE})) == {"0.weight", "2.conv.0.weight"}
