"""Clips and frames: the sets keep videos as [B, C, F, h, w], our networks take frames [F, C, h, w]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tpc_stream.errors import CheckpointError


def frames_of(clip: Tensor) -> Tensor:
    """[C, F, h, w] -> [F, C, h, w]."""
    return clip.transpose(0, 1)


def clip_of(frames: Tensor) -> Tensor:
    """[F, C, h, w] -> [C, F, h, w]."""
    return frames.transpose(0, 1)


def rows_of(tensor: Tensor, count: int) -> Tensor:
    """[1 or count, ...] -> [count, ...]: guidance repeats what is given once."""
    return tensor if len(tensor) == count else tensor.repeat(count // len(tensor), *[1] * (tensor.dim() - 1))


def take_row(features: Sequence[Tensor], row: int) -> tuple[Tensor, ...]:
    """One picture's features, [1, T, C] each."""
    return tuple(tensor[row : row + 1] for tensor in features)


def no_features(like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Features of nothing, [1, 0, C] each."""
    return tuple(tensor[:1, :0] for tensor in like)


def check_pairing(direct: Mapping[str, Any]) -> None:
    """CheckpointError where a set lets a block read what another one wrote: ours are paired by name."""
    for reader, writer in direct.get("pairing_reader_writer", ()):
        if reader != writer:
            raise CheckpointError(
                f"the set pairs the block {reader} with {writer}; ours read what their own name wrote"
            )
