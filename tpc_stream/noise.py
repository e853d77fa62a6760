"""Starting noise as a pure function of (seed, frame), whatever window, chunk or process asks for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frame_noise(indices: range, *, seed: int, shape: tuple[int, int, int], period: int) -> NDArray[np.float32]:
    """[F, C, h, w] standard normal noise for the global frames `indices`.

    Args:
        period: 0: every frame has its own; 1: all frames share one; n: n noises repeat along the video.
    """
    # Philox is counter-based: each frame's stream starts at its own counter, so no draw depends on another
    slots = [index if period == 0 else index % period for index in indices]
    noises = {
        slot: np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, slot])).standard_normal(
            shape, dtype=np.float32
        )
        for slot in set(slots)
    }
    return np.stack([noises[slot] for slot in slots])
