"""Attention that may look at more than its own tokens: r, the reference's, and c, the calibrated ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What frames are shown besides their own tokens: K = V = [own, r, c_i] (section 4.3 of the paper)."""

    reference: Tensor
    """[1 or F, T, C]: r. T may be 0."""
    calibrated: Tensor | None = None
    """[U, T, C]: the features of the U drawn frames. T may be 0."""
    index: Tensor | None = None
    """[F] int64: which of the U a frame sees (Iterative Propagation is this gather)."""
    bias: Tensor | None = None
    """[F, own tokens, own + r + c tokens], added to the scores; the authors' masks."""

    def projected(self, linear: nn.Module, frames: int) -> Tensor:
        """[F, T, C] keys or values: projected once a picture, then handed to the frames."""
        shown = linear(self.reference).expand(frames, -1, -1)
        if self.calibrated is None or self.index is None:
            return shown
        return torch.cat([shown, linear(self.calibrated).index_select(0, self.index)], dim=1)


def attend(attention: nn.Module, tokens: Tensor, *, own: bool, shown: Shown | None = None) -> Tensor:
    """Multi-head attention of `tokens` [F, T, C] to themselves (`own`), to what they are `shown`, or to both.

    `attention` holds heads, to_q, to_k, to_v and to_out, as diffusers' Attention does.
    """
    keys, values = [], []
    if own:
        keys.append(attention.to_k(tokens))
        values.append(attention.to_v(tokens))
    if shown is not None:
        keys.append(shown.projected(attention.to_k, tokens.shape[0]))
        values.append(shown.projected(attention.to_v, tokens.shape[0]))
    bias = shown.bias[:, None] if shown is not None and shown.bias is not None else None
    out = F.scaled_dot_product_attention(
        _heads(attention.to_q(tokens), attention.heads),
        _heads(torch.cat(keys, dim=1), attention.heads),
        _heads(torch.cat(values, dim=1), attention.heads),
        attn_mask=bias,
    )
    return attention.to_out[0](out.transpose(1, 2).flatten(2))


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """[F, T, C] -> [F, heads, T, C / heads]."""
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)
