"""What stands in an attention's processor while calibration is attached: it lengthens keys and values, and calls the
processor that was there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Processor = Callable[..., Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What one call of the UNet is shown."""

    parts: tuple[bool, ...]
    """The batch falls into this many equal parts, one a pass of guidance: whether each is shown anything."""
    added: Mapping[str, Tensor]
    """Attention's name -> [F, T, C], the same frames for every part: c_i, and before it r where a bank holds it."""


@dataclass(slots=True, eq=False)
class Board:
    """What an attachment and its processors tell each other."""

    scene: Scene | None = None
    """None: every attention does what it did before."""
    written: dict[str, Tensor] | None = None
    """A reference pass is under way: receives attention's name -> its input [N, T, C]."""


class Lengthened:
    """K = V = [what they were, added]: of a cross-attention [r, c_i], of a self-attention [own, r, c_i] (section 4.3).

    Keys and values are still made by the processor that stood here, so that it may be any that diffusers has.
    """

    def __init__(self, name: str, inner: Processor, board: Board) -> None:
        self.name, self.inner, self._board = name, inner, board

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **others: object,
    ) -> Tensor:
        if self._board.written is not None:
            self._board.written[self.name] = hidden_states
        scene = self._board.scene if self._board.written is None else None
        if scene is None or self.name not in scene.added:
            return self.inner(
                attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask,
                **others,
            )  # fmt: skip
        outputs = []
        count = len(scene.parts)
        sources = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        masks = [None] * count if attention_mask is None else attention_mask.chunk(count)
        for shown, own, source, mask in zip(
            scene.parts, hidden_states.chunk(count), sources.chunk(count), masks, strict=True
        ):
            given = None if encoder_hidden_states is None else source
            if shown:
                added = scene.added[self.name].to(source)
                given = torch.cat([source, added], dim=1)
                mask = None if mask is None else F.pad(mask, (0, added.shape[1]))  # 0: nothing of it is hidden
            outputs.append(
                self.inner(attn, own, encoder_hidden_states=given, attention_mask=mask, **others)
            )  # parts of other lengths cannot share a batch
        return torch.cat(outputs)
