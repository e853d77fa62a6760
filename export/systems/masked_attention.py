"""The attention masks of the TPC authors' release (MIT): an option, not part of the paper's K = V = [r, c_i].

Keys are [own, r, c]. A frame's background looks at the background of r, its foreground at the foreground of c; its own
tokens it always sees. What it may not see gets -10000 added to its score.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tpc_stream.errors import InputError

FOREGROUND = 0.255
"""Mean of a mask in [0, 255] over a token's square: from there on it is foreground (0.001 of 255, as the authors)."""
HIDDEN = -10000.0


def attention_biases(
    tokens: Mapping[str, int], *, target: Tensor, reference: Tensor, calibrated: Tensor, dtype: torch.dtype
) -> dict[str, Tensor]:
    """What is added to the scores of every block, [F, T, 3 T] each.

    Args:
        tokens: block name -> its T; the features are square.
        target: [F, S, S] masks of the frames' people, 0 outside.
        reference: [1, S, S] of the reference's person.
        calibrated: [F, S, S] of the calibrated references' people.
    """
    made: dict[int, Tensor] = {}
    for count in set(tokens.values()):
        own = _means(target, count)
        r, c = _means(reference, count), _means(calibrated, count)
        background = (own < FOREGROUND)[:, :, None] & (r < FOREGROUND)[:, None, :]
        foreground = (own > FOREGROUND)[:, :, None] & (c > FOREGROUND)[:, None, :]
        seen = torch.cat([torch.ones_like(background), background, foreground], dim=2)
        made[count] = torch.where(seen, 0.0, HIDDEN).to(dtype)
    return {name: made[count] for name, count in tokens.items()}


def _means(masks: Tensor, tokens: int) -> Tensor:
    """[F, S, S] -> [F, tokens]: means over the squares that the tokens stand for."""
    side = round(tokens**0.5)
    if side**2 != tokens or masks.shape[-1] % side:
        raise InputError(f"masks of {tuple(masks.shape[1:])} cannot be laid on {tokens} tokens: both must be square")
    return F.avg_pool2d(masks.double(), masks.shape[-1] // side).flatten(1)
