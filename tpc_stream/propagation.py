"""Iterative Propagation (paper, section 4.2, Algorithm 1): which frame's calibrated features each frame uses.

Groups are cut on the global frame index and a draw is a pure function of (seed, step, group), so that a frame's draw
does not depend on windows, chunks, restarts or workers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError

_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class WindowDraws:
    """What one window needs of Iterative Propagation."""

    drawn: tuple[int, ...]
    """Global indices of the frames whose calibrated images need encoding: distinct, ascending."""
    gather: NDArray[np.int64]
    """[steps, length] for each step and frame, the place in `drawn` of the frame it uses."""


def group_size_from_groups(window_length: int, groups: int) -> int:
    """m = floor(L / M) frames a group, for L frames in M groups (paper: L about 120, M = 30, so 4); 1 <= M <= L."""
    if window_length < 1 or not 1 <= groups <= window_length:
        raise InputError(f"groups are 1 to the window's length, got {groups = } {window_length = }")
    return window_length // groups


def drawn_frame(index: int, *, seed: int, step: int, group_size: int, total: int | None = None) -> int:
    """The global index of the frame whose calibrated features frame `index` uses at denoising step `step`.

    Uniform over the group's members. `total` frames exist in the clip, so that its last group may be shorter; None
    where the end is not known, as in a stream. A group size of 1 draws every frame itself.
    """
    _check(index, step, group_size)
    if total is not None and index >= total:
        raise InputError(f"the clip ends before the frame, got {index = } {total = }")
    group = index // group_size
    first = group * group_size
    members = group_size if total is None else min(group_size, total - first)
    return first + _uniform(seed, step, group, members)


def draw_window(
    first: int, length: int, *, steps: int, seed: int, group_size: int, total: int | None = None
) -> WindowDraws:
    """The draws of the window of global frames [first, first + length) at steps 0 to `steps` - 1.

    A window begins at a multiple of the group size. It also ends at one, or else its last frame is the clip's: its last
    group is then shorter and draws over the frames that exist (Algorithm 1 leaves L - mM frames over). Give
    `total` where it is known; if it is not, a window that is cut short is taken to end the clip.
    """
    _check(first, 0, group_size)
    if length < 1 or steps < 1:
        raise InputError(f"a window has at least one frame and one step, got {length = } {steps = }")
    if first % group_size:
        raise InputError(
            f"a window begins at a multiple of the group size, got {first = } {group_size = }: "
            f"begin at {first - first % group_size} or choose a group size that divides the window's stride"
        )
    end = first + length
    if total is None:
        total = end if end % group_size else None
    elif end > total or (end % group_size and end != total):
        raise InputError(
            f"a window ends at a multiple of the group size or with the clip, got {end = } {group_size = } {total = }: "
            "choose a window length that the group size divides"
        )
    draws = np.array(
        [
            [drawn_frame(i, seed=seed, step=step, group_size=group_size, total=total) for i in range(first, end)]
            for step in range(steps)
        ],
        dtype=np.int64,
    )
    drawn, gather = np.unique(draws, return_inverse=True)
    return WindowDraws(tuple(int(i) for i in drawn), gather.reshape(draws.shape).astype(np.int64))


def _check(index: int, step: int, group_size: int) -> None:
    if index < 0 or step < 0 or group_size < 1:
        raise InputError(f"index and step are 0 or more, a group size 1 or more, got {index} {step} {group_size}")


def _uniform(seed: int, step: int, group: int, members: int) -> int:
    """A whole number in [0, members), by hashing the three counters; members is far below 2^64, so no bias shows."""
    word = 0
    for counter in (seed, step, group):
        word = _mixed(word ^ _mixed(counter & _WORD))
    return (word * members) >> 64


def _mixed(word: int) -> int:
    """SplitMix64: one step of the generator of Steele, Lea and Flood (2014), which passes BigCrush on counters."""
    word = (word + 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)
