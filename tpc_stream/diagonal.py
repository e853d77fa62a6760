"""The diagonal schedule: S chunks of w frames, each one noise level further than the next, in one batched pass a tick.

A chunk enters as noise with every tick and leaves S ticks later as pictures, so that w frames leave a tick for one pass
over S w frames. The newest frame of a chunk waits (S - 1) w frames, the oldest w - 1 more: known before the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tpc_stream.chunk import Chunk, Chunks
from tpc_stream.network import Network
from tpc_stream.resident import joined, rows


def diagonal_passes(begun: Iterable[Chunk], chunks: Chunks, network: Network) -> Iterator[Chunk]:
    """Yields chunks, oldest first, after their last step; at the stream's end those on their way are finished.

    A chunk is a group of Iterative Propagation, and a function of its own frames, the seed and its index alone
    wherever the network keeps frames apart.
    """
    active: list[Chunk] = []
    for entering in begun:
        active.append(entering)
        active = _tick(active, chunks, network)
        if chunks.done(active[0]):
            yield active.pop(0)
    while active:
        active = _tick(active, chunks, network)
        if chunks.done(active[0]):
            yield active.pop(0)


def _tick(active: list[Chunk], chunks: Chunks, network: Network) -> list[Chunk]:
    """All chunks one step on, in one pass with a timestep for every frame."""
    sizes = [len(chunk.frames) for chunk in active]
    poses = [chunks.pose(chunk) for chunk in active]
    output = network.predict(
        joined([chunk.latents for chunk in active]),
        pose={name: joined([pose[name] for pose in poses]) for name in poses[0]},
        calibrated={k: picture for chunk in active for k, picture in chunk.calibrated.items()},
        uses=np.concatenate([chunks.uses(chunk) for chunk in active]),
        timestep=np.repeat([chunks.timestep(chunk) for chunk in active], sizes),
    )
    ends = np.cumsum(sizes).tolist()
    parts = (rows(output, end - size, end) for size, end in zip(sizes, ends, strict=True))
    return [chunks.moved(chunk, part) for chunk, part in zip(active, parts, strict=True)]
