"""How long chunks are where nobody says: cuts cost, but so do kills, and workers that wait for the last chunk.

With chunks of s seconds, a video of T, W workers and K kills, the shares of the work that are lost are about

    k / s               the cuts, each of which costs as much as k seconds of video
    (W - 1) s / (2 T)   workers that are idle at the end, half a chunk each
    K W s / (2 T)       half a chunk of each worker at each kill

Their sum is least at s = sqrt(2 k T / (W - 1 + K W)). W and K are fixed, so that the length, and with it the output,
is a matter of the video alone, whoever works on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, log2, sqrt


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLengthConfig:
    """What is weighed."""

    cut_seconds: float = 0.35
    """Seconds of video whose work a cut costs where windows do not overlap: half a second of poses and calibrations,
    about half of the work of the default bundle, and a tracker, 0.18 s of CPU time where a second of 25 frames takes
    2.0; heavier networks make it less."""
    workers: int = 4
    """W."""
    kills: float = 1.0
    """K."""
    most_seconds: float = 60.0
    """No chunk is longer: minutes of work on a slow machine."""
    cut_share: float = 0.05
    """Cuts cost no more than this share of the work ..."""
    short_share: float = 0.1
    """... or than this, where a video is so short that there would not be a chunk for each of the W workers."""


def default_chunk_frames(
    frames: int, *, rate: Fraction, stride_frames: int, made_twice: int, config: ChunkLengthConfig | None = None
) -> int:
    """Length of a chunk, in whole strides, so that all chunks but the last are equal; 0: all in one.

    The number of chunks is a multiple of W, or a power of two below it: that many workers, or half as many, end
    together.

    Args:
        frames: of the whole output. rate: a second.
        made_twice: frames that pass through the network once more at each cut.
    """
    config = config or ChunkLengthConfig()
    seconds, workers = float(frames / rate), config.workers
    cut = config.cut_seconds + float(made_twice / rate)
    best = sqrt(2 * cut * seconds / (workers - 1 + config.kills * workers))
    count = int(seconds / min(max(best, cut / config.cut_share), config.most_seconds)) // workers * workers
    if not count:
        short = min(workers, int(seconds * config.short_share / cut))
        count = 2 ** int(log2(short)) if short > 1 else 1
    return 0 if count == 1 else ceil(frames / count / stride_frames) * stride_frames
