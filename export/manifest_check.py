"""A network's published keys and shapes against ours, built at real width without memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.systems.key_names import old_vae_key
from export.systems.motion_module import is_motion_key
from export.systems.parts import POSITION_IDS
from tpc_stream.errors import CheckpointError

Shapes = dict[str, tuple[tuple[int, ...], str]]
"""Key -> shape and dtype."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What one manifest says otherwise."""

    system: str
    network: str
    keys: int
    elements: int
    lines: tuple[str, ...]
    excused: tuple[str, ...]

    @property
    def summary(self) -> str:
        excused = f"; not kept, as explained: {', '.join(self.excused)}" if self.excused else ""
        found = "all agree" if not self.lines else f"{len(self.lines)} differ"
        return f"{self.keys} keys, {self.elements} elements, {found}{excused}"


def differences(path: Path) -> Differences:
    """A manifest file against our network of that name. Errors: CheckpointError where it is unreadable or unknown."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        system, network, tensors = manifest["system"], manifest["network"], manifest["tensors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no manifest with system, network and tensors: {error!r}") from error
    if not isinstance(tensors, dict) or not all(isinstance(shape, list) for shape in tensors.values()):
        raise CheckpointError(f"{path}: tensors is no table of key -> shape")
    ours = _shapes(system, network, path)
    other = manifest.get("non_float32", {})
    theirs = {key: (tuple(shape), other.get(key, "float32")) for key, shape in tensors.items()}
    excused = tuple(key for key in theirs if key not in ours and POSITION_IDS.covers(key))
    lines = [f"missing in ours: {k} {list(v[0])}" for k, v in theirs.items() if k not in ours and k not in excused]
    lines += [f"only in ours: {k} {list(v[0])}" for k, v in ours.items() if k not in theirs]
    for key, (shape, dtype) in theirs.items():
        if key in ours and ours[key] != (shape, dtype):
            lines.append(f"{key}: {list(shape)} {dtype}, ours {list(ours[key][0])} {ours[key][1]}")
    elements = sum(torch.Size(shape).numel() for shape, _ in theirs.values())
    for name, counted in (("n_keys", len(theirs)), ("n_elements", elements)):
        if manifest.get(name, counted) != counted:
            lines.append(f"{name} says {manifest[name]}, the list holds {counted}")
    return Differences(system, network, len(theirs), elements, tuple(lines), excused)


def _shapes(system: str, network: str, path: Path) -> Shapes:
    networks = NETWORKS.get(system)
    if networks is None or network not in networks:
        known = ", ".join(f"{s}/{n}" for s, names in NETWORKS.items() for n in names)
        raise CheckpointError(f"{path} is of {system}/{network}; known are {known}")
    return networks[network]()


def _of(module: nn.Module, *, prefix: str = "", rename: Callable[[str], str] = str) -> Shapes:
    return {
        prefix + rename(key): (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for key, value in module.state_dict().items()
    }


@cache
def _meta(system: str) -> nn.Module:
    """A system at its published width."""
    from export.systems.loading import built_on_meta
    from export.systems.registry import system_class
    from export.systems.widths import UNetWidths

    cls = system_class(system)
    return built_on_meta(lambda: cls(UNetWidths(frames=cls.traits.max_window)))


@cache
def _vae() -> nn.Module:
    from export.systems.loading import built_on_meta
    from export.systems.vae import build_vae
    from export.systems.widths import VaeWidths

    return built_on_meta(lambda: build_vae(VaeWidths()))


def _part(system: str, module: str, *, motion: bool | None = None) -> Callable[[], Shapes]:
    def shapes() -> Shapes:
        made = _of(_meta(system).get_submodule(module))
        return {key: value for key, value in made.items() if motion is None or is_motion_key(key) is motion}

    return shapes


def _vae_shapes(*, old: bool) -> Callable[[], Shapes]:
    return lambda: _of(_vae(), rename=old_vae_key if old else str)


def _disco(system: str) -> Mapping[str, Callable[[], Shapes]]:
    prefixes = {
        "controlnet_pose": "controlnet.nets.0.",
        "controlnet_background": "controlnet.nets.1.",
        "unet": "unet.",
        "clip_image_encoder": "clip_image_encoder.",
        "refer_clip_proj": "refer_clip_proj.",
    }

    def whole() -> Shapes:
        made = _of(_vae(), prefix="vae.", rename=old_vae_key)
        for name, prefix in prefixes.items():
            made |= _of(_meta(system).get_submodule(name), prefix=prefix)
        return made

    parts: dict[str, Any] = {name: _part(system, name) for name in prefixes}
    return parts | {"vae_old_names": _vae_shapes(old=True), "net_full_checkpoint": whole}


NETWORKS: Mapping[str, Mapping[str, Callable[[], Shapes]]] = {
    "animateanyone": {
        "denoising_unet": _part("animate-anyone", "denoising_unet", motion=False),
        "motion_module": _part("animate-anyone", "denoising_unet", motion=True),
        "reference_unet": _part("animate-anyone", "reference_unet"),
        "pose_guider": _part("animate-anyone", "pose_guider"),
        "image_encoder": _part("animate-anyone", "image_encoder"),
        "vae_diffusers_new_names": _vae_shapes(old=False),
    },
    "magicanimate": {
        "unet_sd15": _part("magicanimate", "unet", motion=False),
        "temporal_attention": _part("magicanimate", "unet", motion=True),
        "appearance_encoder": _part("magicanimate", "appearance_encoder"),
        "densepose_controlnet": _part("magicanimate", "controlnet"),
        "text_encoder": _part("magicanimate", "text_encoder"),
        "vae_diffusers_new_names": _vae_shapes(old=False),
    },
    "disco": _disco("disco"),
    "disco_tm": _disco("disco-tm"),
    "dreampose": {
        "unet": _part("dreampose", "unet"),
        "adapter": _part("dreampose", "adapter"),
        "clip_vision": _part("dreampose", "clip"),
        "vae_old_names": _vae_shapes(old=True),
    },
}
"""Manifest's system -> its network -> our keys and shapes."""
