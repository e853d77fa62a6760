"""From the keys of a published file to those of the network: prefixes, and names that diffusers has changed since."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from tpc_stream.errors import CheckpointError

TRAINER_PREFIXES = ("module.unet.", "module.", "unet.")
"""What data-parallel trainers and whole-model checkpoints put before a key."""
OLD_ATTENTION = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
"""The names that a VAE's attention had before diffusers 0.18, and has now."""


def without_prefix(tensors: Mapping[str, Tensor], prefixes: tuple[str, ...], *, path: Path) -> dict[str, Tensor]:
    """The tensors without the first of `prefixes` that all keys share; CheckpointError where two keys become one."""
    for prefix in prefixes:
        if tensors and all(key.startswith(prefix) for key in tensors):
            return {key.removeprefix(prefix): value for key, value in tensors.items()}
    for prefix in prefixes:
        twice = sorted(key for key in tensors if key.startswith(prefix) and key.removeprefix(prefix) in tensors)
        if twice:
            raise CheckpointError(f"{path} holds {twice[0]!r} both with and without the prefix {prefix!r}")
    return dict(tensors)


def motion_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    """The motion modules of MagicAnimate's file, whatever stands before their keys.

    The file may hold the whole UNet. As in the authors' loader, its spatial part is then used, in place of the base
    model's, where the keys are the network's own ("" or "module."), and left alone where they begin with "unet.".
    """
    bare = {}
    for key, value in tensors.items():
        short = key.removeprefix("module.")
        if short.startswith("unet."):
            short = short.removeprefix("unet.")
            if ".motion_modules." not in short:
                continue
        if short in bare:
            raise CheckpointError(f"{path} holds {short!r} twice, under different prefixes")
        bare[short] = value
    return bare


def modern_vae_key(key: str) -> str:
    """A key of an AutoencoderKL as diffusers calls it today."""
    for old, new in OLD_ATTENTION:
        key = re.sub(rf"(\.attentions\.\d+\.){old}\.", rf"\g<1>{new}.", key)
    return key


def old_vae_key(key: str) -> str:
    """The same key as diffusers called it before 0.18."""
    for old, new in OLD_ATTENTION:
        key = re.sub(rf"(\.attentions\.\d+\.){re.escape(new)}\.", rf"\g<1>{old}.", key)
    return key


def modern_vae_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    """A VAE's tensors under today's names; attention weights that were 1x1 convolutions become matrices."""
    made: dict[str, Tensor] = {}
    for key, value in tensors.items():
        new = modern_vae_key(key)
        if new in made:
            raise CheckpointError(f"{path} holds {key!r} under its old and its new name")
        if ".attentions." in new and value.dim() == 4 and value.shape[2:] == (1, 1):
            value = value[:, :, 0, 0]
        made[new] = value
    return made


Convert = Callable[..., dict[str, Tensor]]
"""(tensors, path=...) -> tensors under the network's keys."""


def bare_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    """Without a trainer's prefix."""
    return without_prefix(tensors, TRAINER_PREFIXES, path=path)


def bare_vae_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> dict[str, Tensor]:
    """A VAE's: without a trainer's prefix, under today's names."""
    return modern_vae_tensors(without_prefix(tensors, ("module.", "vae."), path=path), path=path)


def shifted_taesd_decoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original TAESD decoder's keys as diffusers counts them: its first layer, a clamp, is no layer there."""
    return {re.sub(r"^\d+", lambda match: str(int(match[0]) - 1), key): value for key, value in tensors.items()}
