"""The context windows that the windowed systems use on a whole clip, after their published scheduler."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tpc_stream.errors import InputError


def uniform_windows(
    frames: int, *, size: int, overlap: int, stride: int = 1, step: int = 0, closed: bool = True
) -> Iterator[tuple[int, ...]]:
    """The frame indices of each window over a clip of `frames` frames, in order.

    Windows of `size` frames start every size - overlap frames, shifted as a whole by a fraction of the clip that
    depends on the step; at stride level k a window takes every 2^k-th frame. Indices run around the clip's end: the
    last windows hold its last and its first frames. A clip of at most `size` frames is one window. A stream knows no
    end and has no such windows: `window.windows` makes the same ones as far as they do not run around.

    Args:
        frames, size, overlap: frames; 0 <= overlap < size.
        stride: stride levels, at least 1: 1, 2, 4, ... frames apart.
        step: which denoising step the windows are for; the systems always say 0.
        closed: whether windows may begin where they run around the end.
    """
    if frames < 1 or size < 1 or not 0 <= overlap < size or stride < 1 or step < 0:
        raise InputError(f"no windows for {frames = } {size = } {overlap = } {stride = } {step = }")
    if frames <= size:
        yield tuple(range(frames))
        return
    levels = min(stride, math.ceil(math.log2(frames / size)) + 1)
    shift = round(frames * _bit_reversed(step))
    for spacing in (1 << level for level in range(levels)):
        end = frames + shift + (0 if closed else -overlap)
        for start in range(int(_bit_reversed(step) * spacing) + shift, end, size * spacing - overlap):
            yield tuple(index % frames for index in range(start, start + size * spacing, spacing))


def _bit_reversed(number: int) -> float:
    """The 64-bit number read backwards, as a fraction in [0, 1)."""
    return int(f"{number:064b}"[::-1], 2) / (1 << 64)
