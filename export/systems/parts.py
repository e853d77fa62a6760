"""The state dicts that a system is published as: where each file lies, and which keys of which network it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from export.systems.key_names import Convert, bare_tensors
from tpc_stream.errors import CheckpointError

Root = Literal["checkpoint", "base", "vae", "clip"]
OPTIONS: dict[Root, str] = {
    "checkpoint": "--checkpoint",
    "base": "--base",
    "vae": "--vae-checkpoint",
    "clip": "--clip",
}
"""How the command line is told of each."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the files of a system lie."""

    checkpoint: Path
    """The folder as the authors publish it; for DisCo also the file itself."""
    base: Path | None = None
    """A Stable Diffusion 1.5 folder with unet/, text_encoder/ and vae/; looked for in the checkpoint if not given."""
    vae: Path | None = None
    """A VAE's folder or file."""
    clip: Path | None = None
    """A CLIP image encoder's folder or file."""
    vae_kind: Literal["kl", "tiny"] = "kl"
    """kl: AutoencoderKL; tiny: AutoencoderTiny, known as TAESD."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Keys that may be too many, and why."""

    pattern: str
    """A regular expression for the whole key."""
    reason: str

    def covers(self, key: str) -> bool:
        return re.fullmatch(self.pattern, key) is not None


POSITION_IDS = Excuse(r"(.*\.)?embeddings\.position_ids", "a constant 0, 1, 2, ... that newer transformers do not keep")


def every_key(key: str) -> bool:
    """All of a network's keys."""
    return True


@dataclass(frozen=True, slots=True)
class Part:
    """One state dict of a system."""

    name: str
    module: str
    """The system's attribute that it is loaded into."""
    places: tuple[tuple[Root, str], ...]
    """Where it may lie: globs below a root, the first found is taken; "" is the root itself."""
    origin: str
    """Where to get it."""
    holds: Callable[[str], bool] = every_key
    """Which of the module's keys."""
    prefix: str = ""
    """What stands before its keys in a file that holds several parts."""
    convert: Convert = bare_tensors
    excuses: tuple[Excuse, ...] = ()
    lends: bool = False
    """Whether the file may also hold, and then replaces, the module's other keys."""

    def expected(self, system: nn.Module) -> dict[str, Tensor]:
        """Key -> tensor of the network as built, this part's only."""
        tensors = system.get_submodule(self.module).state_dict()
        return {key: value for key, value in tensors.items() if self.holds(key)}


def weights_in(*folders: str, stem: str = "diffusion_pytorch_model") -> tuple[str, ...]:
    """Globs for a Hugging Face style weights file in any of `folders`, the safe formats first."""
    endings = ("safetensors", "fp16.safetensors", "bin", "fp16.bin", "pth", "pt", "ckpt")
    return tuple(f"{folder}/{stem}.{ending}".lstrip("/") for folder in folders for ending in endings)


def below(root: Root, patterns: tuple[str, ...]) -> tuple[tuple[Root, str], ...]:
    """Places below one root."""
    return tuple((root, pattern) for pattern in patterns)


def find(part: Part, sources: Sources) -> Path | None:
    """The part's file, or None; of several epochs the last. A folder given for just this part is the only one."""
    for root, pattern in _places(part, sources):
        folder: Path | None = getattr(sources, root)
        if folder is None:
            continue
        if folder.is_file():
            if pattern == "":
                return folder
            continue
        found = sorted(folder.glob(pattern), key=_epoch) if pattern else []
        if found:
            return found[-1]
    return None


def _places(part: Part, sources: Sources) -> tuple[tuple[Root, str], ...]:
    own = part.places[0][0]
    if own != "checkpoint" and getattr(sources, own) is not None:
        return tuple(place for place in part.places if place[0] == own)
    return part.places


def _epoch(path: Path) -> tuple[int, str]:
    """Orders unet_epoch_9.pth before unet_epoch_10.pth."""
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def locate(parts: tuple[Part, ...], sources: Sources) -> dict[str, Path]:
    """Part name -> its file. Errors: CheckpointError lists all that are missing, with where each was looked for."""
    for root, option in OPTIONS.items():
        given = getattr(sources, root)
        if given is not None and not given.exists():
            raise CheckpointError(f"{given} does not exist; it was given as {option}")
    found = {part.name: find(part, sources) for part in parts}
    missing = [part for part in parts if found[part.name] is None]
    if missing:
        raise CheckpointError("\n".join(f"missing: {_looked_for(part, sources)}" for part in missing))
    return {name: path for name, path in found.items() if path is not None}


def _looked_for(part: Part, sources: Sources) -> str:
    shown: dict[Root, list[str]] = {}
    for root, pattern in _places(part, sources):
        shown.setdefault(root, []).append(pattern or "the file itself")
    tried = "; ".join(f"{getattr(sources, r) or f'{OPTIONS[r]} (not given)'}: {', '.join(p)}" for r, p in shown.items())
    return f"{part.name}, looked for in {tried}. Get it from {part.origin}"
