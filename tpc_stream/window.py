"""The sliding window: L frames at a time, the first O of them known from the window before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import CalibratedFrame


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Consecutive frames that are denoised together."""

    frames: tuple[CalibratedFrame, ...]
    carried: int
    """How many of the first frames were in the window before; 0 in the first window."""

    @property
    def index(self) -> int:
        """Global index of the first frame."""
        return self.frames[0].frame.index

    @property
    def indices(self) -> range:
        return range(self.index, self.index + len(self.frames))


def check_window(*, length: int, overlap: int, group_size: int) -> None:
    """InputError unless windows start and end at the borders of Iterative Propagation groups."""
    if length < 1 or not 0 <= overlap <= length // 2:
        raise InputError(f"a window needs length >= 1 and 0 <= overlap <= length / 2, got {length = } {overlap = }")
    if length % group_size or overlap % group_size:
        near = max(group_size, round(length / group_size) * group_size)
        raise InputError(
            f"window {length} and overlap {overlap} must be multiples of the group size {group_size}, so that no group "
            f"is cut; try --window {near} --overlap {min(overlap, near // 2) // group_size * group_size}"
        )


def windows(frames: Iterable[CalibratedFrame], *, length: int, overlap: int) -> Iterator[Window]:
    """Cuts the stream into windows that start every length - overlap frames; the last may be shorter."""
    held: list[CalibratedFrame] = []
    carried = 0
    for frame in frames:
        held.append(frame)
        if len(held) == length:
            yield Window(frames=tuple(held), carried=carried)
            held = held[length - overlap :]
            carried = overlap
    if len(held) > carried:
        yield Window(frames=tuple(held), carried=carried)


def crossfade(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blends the same O frames of two windows, [O, ...] each: the older fades out, the newer in, linearly.

    Each window is a function of its own frames alone, so a window can be made anywhere, in any order, and the seam
    is the same; since both start from the same noise and the same draws, they differ little.
    """
    count = len(before)
    weight = (np.arange(1, count + 1, dtype=np.float32) / np.float32(count + 1)).reshape(-1, *[1] * (before.ndim - 1))
    return before * (1 - weight) + after * weight
