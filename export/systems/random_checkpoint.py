"""Tiny checkpoints of random weights in the layout that the authors publish: for tests, and for trying an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from export.systems.key_names import old_vae_key
from export.systems.loading import built_on_meta
from export.systems.motion_module import Positions, is_motion_key
from export.systems.parts import Sources
from export.systems.registry import system_class
from export.systems.system import AnimationSystem
from export.systems.tiny_autoencoder import TinyAutoencoder
from export.systems.vae import build_tiny_vae, build_vae
from export.systems.widths import ClipWidths, TextWidths, UNetWidths, VaeWidths

TINY_UNET = UNetWidths((32, 32, 64, 64), cross_attention_dim=32, conditioning_channels=(4, 8, 8, 16))
TINY_CLIP = ClipWidths(hidden=64, intermediate=128, layers=2, heads=1, projection=32, image=56, patch=14)
TINY_TEXT = TextWidths(hidden=32, intermediate=64, layers=1, heads=1, vocabulary=40, positions=7)
TINY_VAE = VaeWidths((32, 32, 32, 32))
TINY_TAESD = 8
"""Channels."""
Tensors = Mapping[str, Tensor]


def write_random_checkpoint(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    width: int = 64,
    height: int = 64,
    vae_kind: Literal["kl", "tiny"] = "kl",
) -> Sources:
    """Writes a tiny checkpoint of a system below `folder`; what it returns loads it again.

    Args:
        name: as in `registry.SYSTEMS`.
        folder: made if it does not exist.
        seed: the same seed gives the same weights.
        width, height: pixels of the pictures it is for; only DreamPose's adapter depends on them.
        vae_kind: the VAE that is written beside it.
    """
    system = random_system(name, seed=seed, width=width, height=height, vae_kind=vae_kind)
    folder.mkdir(parents=True, exist_ok=True)
    sources = WRITERS[name](system, folder)
    if vae_kind == "tiny":
        _save(system.vae.state_dict(), folder / "taesd" / "diffusion_pytorch_model.safetensors")
        return Sources(sources.checkpoint, sources.base, folder / "taesd", sources.clip, "tiny")
    return sources


def random_system(
    name: str, *, seed: int = 0, width: int = 64, height: int = 64, vae_kind: Literal["kl", "tiny"] = "kl"
) -> AnimationSystem:
    """A tiny system with random weights."""
    cls = system_class(name)
    options: dict[str, Any] = {}
    if name == "magicanimate":
        options["text"] = TINY_TEXT
    else:
        options["clip"] = TINY_CLIP
    unet = TINY_UNET
    if name == "dreampose":
        options |= {"latent_cells": (height // 16) * (width // 16), "tokens": TINY_CLIP.positions}
        unet = UNetWidths(unet.block_out_channels, TINY_CLIP.hidden)
    if name == "magicanimate":
        unet = UNetWidths(
            unet.block_out_channels, TINY_TEXT.hidden, conditioning_channels=unet.conditioning_channels, frames=24
        )

    def build() -> AnimationSystem:
        made = cls(unet, **options)
        made.vae = build_vae(TINY_VAE) if vae_kind == "kl" else build_tiny_vae(TINY_TAESD)
        return made

    system = built_on_meta(build)
    randomise(system, seed=seed)
    return system.eval().requires_grad_(False)


def randomise(network: nn.Module, *, seed: int) -> None:
    """Fills a network built on the meta device: no layer is silent, none explodes.

    Norms are about 1, biases small, matrices and convolutions normal over the root of their inputs, which keeps the
    size of what passes; queries and keys are doubled, so that attention chooses.
    """
    generator = torch.Generator().manual_seed(seed)
    filled = {}
    for key, value in network.state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        if key.endswith("pos_encoder.pe"):
            drawn = Positions(value.shape[2], value.shape[1]).pe
        elif value.dim() == 1 and "norm" in key and key.endswith("weight"):
            drawn = 1 + drawn / 8
        elif value.dim() == 1:
            drawn = drawn / 8
        else:
            drawn = drawn * value[0].numel() ** -0.5 * (2 if ".to_q." in key or ".to_k." in key else 1)
        filled[key] = drawn
    network.load_state_dict(filled, assign=True)


def _animate_anyone(system: AnimationSystem, folder: Path) -> Sources:
    unet = system.denoising_unet.state_dict()
    _save(system.reference_unet.state_dict(), folder / "reference_unet.pth")
    _save({k: v for k, v in unet.items() if not is_motion_key(k)}, folder / "denoising_unet.pth")
    _save({k: v for k, v in unet.items() if is_motion_key(k)}, folder / "motion_module.pth")
    _save(system.pose_guider.state_dict(), folder / "pose_guider.pth")
    _save(_with_position_ids(system.image_encoder), folder / "image_encoder" / "pytorch_model.bin")
    _config(folder / "image_encoder", num_attention_heads=TINY_CLIP.heads, hidden_act=TINY_CLIP.activation)
    _vae(system, folder / "sd-vae-ft-mse")
    return Sources(folder)


def _magicanimate(system: AnimationSystem, folder: Path) -> Sources:
    own, base = folder / "MagicAnimate", folder / "stable-diffusion-v1-5"
    unet = system.unet.state_dict()
    weights = "diffusion_pytorch_model.safetensors"
    _save(system.appearance_encoder.state_dict(), own / "appearance_encoder" / weights)
    _save(system.controlnet.state_dict(), own / "densepose_controlnet" / weights)
    motion = {f"module.{k}": v for k, v in unet.items() if is_motion_key(k)}
    _save({"state_dict": motion, "epoch": 1}, own / "temporal_attention" / "temporal_attention.ckpt")
    _save({k: v for k, v in unet.items() if not is_motion_key(k)}, base / "unet" / "diffusion_pytorch_model.bin")
    _config(base / "unet", attention_head_dim=TINY_UNET.heads, norm_num_groups=TINY_UNET.norm_groups)
    _save(system.text_encoder.state_dict(), base / "text_encoder" / "model.safetensors")
    _config(base / "text_encoder", num_attention_heads=TINY_TEXT.heads, hidden_act=TINY_TEXT.activation)
    _vae(system, folder / "sd-vae-ft-mse")
    return Sources(own, base=base, vae=folder / "sd-vae-ft-mse")


def _disco(system: AnimationSystem, folder: Path) -> Sources:
    networks = {
        "controlnet.nets.0.": system.controlnet_pose.state_dict(),
        "controlnet.nets.1.": system.controlnet_background.state_dict(),
        "unet.": system.unet.state_dict(),
        "clip_image_encoder.": _with_position_ids(system.clip_image_encoder),
        "refer_clip_proj.": system.refer_clip_proj.state_dict(),
    }
    if not isinstance(system.vae, TinyAutoencoder):  # a tiny one is never inside the file
        networks["vae."] = {old_vae_key(key): value for key, value in system.vae.state_dict().items()}
    module = {prefix + key: value for prefix, tensors in networks.items() for key, value in tensors.items()}
    _save({"module": module, "global_steps": 7, "ds_version": "0.8"}, folder / "mp_rank_00_model_states.pt")
    return Sources(folder)


def _dreampose(system: AnimationSystem, folder: Path) -> Sources:
    own, clip = folder / "dreampose", folder / "clip-vit-base-patch32"
    _save({f"module.{k}": v for k, v in system.unet.state_dict().items()}, own / "unet_epoch_20.pth")
    _save(system.adapter.state_dict(), own / "adapter_20.pth")
    if not isinstance(system.vae, TinyAutoencoder):
        _save({old_vae_key(key): value for key, value in system.vae.state_dict().items()}, own / "vae_20.pth")
    tower = _with_position_ids(system.clip) | {"logit_scale": torch.tensor(2.0)}
    _save(tower, clip / "pytorch_model.bin")
    _config(clip, vision_config={"num_attention_heads": TINY_CLIP.heads, "hidden_act": TINY_CLIP.activation})
    return Sources(own, clip=clip)


WRITERS: dict[str, Callable[[AnimationSystem, Path], Sources]] = {
    "magicanimate": _magicanimate,
    "animate-anyone": _animate_anyone,
    "disco": _disco,
    "disco-tm": _disco,
    "dreampose": _dreampose,
}


def _vae(system: AnimationSystem, folder: Path) -> None:
    if not isinstance(system.vae, TinyAutoencoder):
        _save(system.vae.state_dict(), folder / "diffusion_pytorch_model.safetensors")


def _with_position_ids(clip: nn.Module) -> dict[str, Tensor]:
    """As older transformers kept it."""
    tensors = clip.state_dict()
    count = tensors["vision_model.embeddings.position_embedding.weight"].shape[0]
    return tensors | {"vision_model.embeddings.position_ids": torch.arange(count)[None]}


def _save(tensors: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    else:
        torch.save(dict(tensors), path)


def _config(folder: Path, **values: object) -> None:
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
