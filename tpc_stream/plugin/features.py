"""Features of the reference and of its calibrated copies: made where a frame draws them, kept while they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tpc_stream.errors import InputError

Pictures = Mapping[int, Tensor] | Callable[[int], Tensor]
"""Global frame index -> what the model is conditioned on by that frame's calibrated picture."""


class Drawn:
    """Looks up what frames draw, each once.

    Args:
        pictures: a mapping, or a function that is called for drawn frames only.
        rank: axes of one entry; one more, of length 1, is taken off.
        what: in words, with the axes, for the errors.
    """

    def __init__(self, pictures: Pictures, *, rank: int, what: str) -> None:
        self._pictures, self._rank, self._what = pictures, rank, what
        self._kept: dict[int, Tensor] = {}

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """Forgets the frames that are not wanted any more."""
        self._kept = {index: tensor for index, tensor in self._kept.items() if wanted(index)}

    def stacked(self, indices: Sequence[int], *, step: int) -> Tensor:
        """[U, ...] the entries of U frames. Errors: InputError names the frame and the step."""
        found = [self._get(index, step) for index in indices]
        shapes = {tuple(tensor.shape) for tensor in found}
        if len(shapes) > 1:
            raise InputError(f"{self._what} have one shape for all frames, got {sorted(shapes)}")
        return torch.stack(found)

    def _get(self, index: int, step: int) -> Tensor:
        if index not in self._kept:
            if callable(self._pictures):
                tensor = self._pictures(index)
            elif index in self._pictures:
                tensor = self._pictures[index]
            else:
                raise InputError(
                    f"frame {index} is drawn at step {step}, and `calibrated` has nothing for it: "
                    "give an entry for every frame of the groups that are shown, or a function"
                )
            self._kept[index] = entry(tensor, rank=self._rank, what=f"{self._what} of frame {index}")
        return self._kept[index]


def entry(tensor: Tensor, *, rank: int, what: str) -> Tensor:
    """One picture's tensor, without a batch axis. Errors: InputError where it is not one."""
    if tensor.ndim == rank + 1 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != rank:
        raise InputError(f"{what}: {rank} axes, or one more of length 1, got {tuple(tensor.shape)}")
    return tensor
