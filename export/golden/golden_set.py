"""Reading a golden set: a tiny system's weights, inputs, and what the authors' own code made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.systems.checkpoint import read_tensors
from export.systems.loading import compare as compare_keys
from export.systems.parts import Part
from export.systems.widths import ClipWidths, UNetWidths
from tpc_stream.errors import CheckpointError

NAMES = {
    "magicanimate": "magicanimate",
    "animateanyone": "animate-anyone",
    "disco": "disco",
    "disco_tm": "disco-tm",
    "dreampose": "dreampose",
}
"""The set's word for a system -> ours."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenSet:
    """One folder with config.json, inputs, outputs and weights."""

    folder: Path
    config: Mapping[str, Any]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    """Of the authors' float32 run, and, as f64/<name>, of their float64 run."""

    @property
    def system(self) -> str:
        """As in `registry.SYSTEMS`."""
        name = self.config.get("system")
        if name not in NAMES:
            raise CheckpointError(f"{self.folder}/config.json is of the system {name!r}; known are {', '.join(NAMES)}")
        return NAMES[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the outputs, each once."""
        return tuple(sorted({name.removeprefix("f64/") for name in self.outputs}))

    def given(self, name: str, dtype: torch.dtype) -> Tensor:
        """An input, floating point ones as `dtype`; pictures stay uint8. CheckpointError where there is none."""
        if name not in self.inputs:
            raise CheckpointError(f"{self.folder}/inputs.safetensors has no {name!r}")
        tensor = self.inputs[name]
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    def fill(self, network: nn.Module, *names: str, part: Part, dtype: torch.dtype) -> None:
        """Loads weights.<name>.safetensors, of all names together; every key must fit, but for the part's excuses."""
        tensors: dict[str, Tensor] = {}
        for name in names:
            path = self.folder / f"weights.{name}.safetensors"
            if not path.is_file():
                raise CheckpointError(f"{path} does not exist")
            tensors |= read_tensors(path)
        wrong, _ = compare_keys(network.state_dict(), tensors, part)
        if wrong:
            raise CheckpointError("\n".join(f"{self.folder}, {', '.join(names)}: {line}" for line in wrong))
        known = network.state_dict()
        network.load_state_dict(
            {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items() if k in known}, assign=True
        )
        network.eval().requires_grad_(False)


def find_sets(folder: Path) -> list[Path]:
    """The folder itself, or those below it that hold a config.json. Errors: CheckpointError for none."""
    found = sorted(
        path.parent for path in folder.rglob("config.json") if (path.parent / "outputs.safetensors").is_file()
    )
    if not found:
        raise CheckpointError(f"{folder} holds no golden set: no config.json with an outputs.safetensors beside it")
    return found


def read_set(folder: Path) -> GoldenSet:
    """Reads config, inputs and outputs; the weights are read when asked for. Errors: CheckpointError."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}/config.json cannot be read: {error}") from error
    return GoldenSet(
        folder, config, read_tensors(folder / "inputs.safetensors"), read_tensors(folder / "outputs.safetensors")
    )


def unet_widths_of(config: Mapping[str, Any]) -> UNetWidths:
    """The widths that a set was made at."""
    base = config["base_config"]
    conditioning = (
        base.get("conditioning_embedding_out_channels")
        or config.get("controlnet", {}).get("conditioning_embedding_out_channels")
        or config.get("pose_guider", {}).get("block_out_channels")
        or UNetWidths().conditioning_channels
    )
    motion = config.get("unet_additional_kwargs", {}).get("motion_module_kwargs", {})
    return UNetWidths(
        block_out_channels=tuple(base["block_out_channels"]),
        cross_attention_dim=base["cross_attention_dim"],
        heads=base["attention_head_dim"],
        norm_groups=base["norm_num_groups"],
        conditioning_channels=tuple(conditioning),
        frames=motion.get("temporal_position_encoding_max_len", UNetWidths().frames),
    )


def clip_widths_of(config: Mapping[str, Any]) -> ClipWidths:
    """The widths of a set's CLIP image encoder."""
    clip = config["clip_vision_config"]
    return ClipWidths(
        hidden=clip["hidden_size"],
        intermediate=clip["intermediate_size"],
        layers=clip["num_hidden_layers"],
        heads=clip["num_attention_heads"],
        projection=clip["projection_dim"],
        image=clip["image_size"],
        patch=clip["patch_size"],
        activation=clip["hidden_act"],
    )
