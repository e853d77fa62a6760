"""Which attentions of a UNet are lengthened, and how their processors are put in place and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from tpc_stream.errors import InputError
from tpc_stream.plugin.processors import Board, Lengthened

SUFFIX = ".processor"
OVER_FRAMES = ("motion_modules", "temp_attentions")
"""Parts of names of attentions in which frames look at each other, not at a reference."""


def attention_names(unet: nn.Module, *, kind: Literal["tokens", "bank"], blocks: Sequence[str]) -> tuple[str, ...]:
    """The attentions of a UNet that see the reference. Errors: InputError where there are none that can be wrapped."""
    if not (hasattr(unet, "attn_processors") and hasattr(unet, "set_attn_processor")):
        raise InputError(f"a diffusers UNet with attention processors is wanted, got {type(unet).__name__}")
    which = "attn2" if kind == "tokens" else "attn1"
    every = tuple(
        name.removesuffix(SUFFIX)
        for name in processors(unet)
        if name.endswith(f".{which}{SUFFIX}") and not any(part in name for part in OVER_FRAMES)
    )
    for block in blocks:
        if not any(name.startswith(block) for name in every):
            places = ", ".join(sorted({name.partition(".attentions")[0] for name in every}))
            raise InputError(f"{block or 'this UNet'} has no {which}; there are some in: {places or 'no block'}")
    names = tuple(name for name in every if any(name.startswith(block) for block in blocks))
    for name in names:
        attention = unet.get_submodule(name)
        if getattr(attention, "fused_projections", False):
            raise InputError(f"{name} has its projections fused; call unfuse_qkv_projections() first")
        if isinstance(processors(unet)[name + SUFFIX], nn.Module):
            kind_of = type(processors(unet)[name + SUFFIX]).__name__
            raise InputError(f"{name} has a processor with weights ({kind_of}), such as IP-Adapter's; unload it first")
    return names


def processors(unet: Any) -> dict[str, Any]:
    """Attention's name with ".processor" -> its processor."""
    found: dict[str, Any] = unet.attn_processors
    return found


class Placed:
    """Processors for one network, and those that were there before.

    Errors: InputError where the network has not all of the attentions `names`.
    """

    def __init__(self, network: nn.Module, names: Sequence[str], board: Board) -> None:
        self._network = network
        self._before: dict[str, Any] = processors(network) if hasattr(network, "attn_processors") else {}
        missing = [name for name in names if name + SUFFIX not in self._before]
        if missing:
            raise InputError(
                f"{type(network).__name__} has no {missing[0]}, and {len(missing) - 1} more are missing: "
                "a reference network's attentions have the names of those that read; name `blocks`"
            )
        self._ours = dict(self._before)
        for name in names:
            self._ours[name + SUFFIX] = Lengthened(name, self._before[name + SUFFIX], board)

    def place(self) -> None:
        """Ours."""
        _set(self._network, self._ours)

    def check(self) -> None:
        """Errors: InputError where others have replaced our processors since."""
        now = processors(self._network)
        for name, processor in self._ours.items():
            if now.get(name) is not processor:
                raise InputError(f"{name} was changed after the calibration was attached; undo that first, then detach")

    def restore(self) -> None:
        """Those that were there, the very same objects."""
        _set(self._network, self._before)


def _set(network: Any, chosen: dict[str, Any]) -> None:
    network.set_attn_processor(dict(chosen))  # a copy: diffusers empties what it is given
