"""Where each frame's own time goes on its way from capture to sink: a tiling, no second counted twice.

A frame is, at any moment, in exactly one place. In a queue: `queue`. In a stage that is asking upstream for more:
`structural`, it waits for the frames that it is processed with. In a stage that works, for it or for its companions:
`compute`, or `codec` where the stage encodes. In a stage that has given another frame and was not asked again yet:
`queue` too, it waits for its turn. From capture until the source gives it: `codec`, as decoding and conversion.
"""

from __future__ import annotations

from typing import Literal

from tpc_stream.recording.series import NO_FRAME, Series

Part = Literal["structural", "queue", "compute", "codec"]
PARTS: tuple[Part, ...] = ("structural", "queue", "compute", "codec")
MAX_OPEN_FRAMES = 4096
"""Frames on their way at a time; older ones were dropped and will never arrive."""


class Ledger:
    """The open accounts of the frames on their way, and the closed ones by part; the caller holds a lock."""

    __slots__ = ("_open", "closed", "end_to_end")

    def __init__(self) -> None:
        self._open: dict[int, list[float]] = {}
        self.closed = {part: Series("part", "") for part in PARTS}
        self.end_to_end = Series("end to end", "")

    def add(
        self, frame: int, structural: float = 0.0, queue: float = 0.0, compute: float = 0.0, codec: float = 0.0
    ) -> None:
        """Seconds of one frame's way; those of no frame are nobody's."""
        if frame == NO_FRAME:
            return
        account = self._open.get(frame)
        if account is None:
            self._open[frame] = [structural, queue, compute, codec]
            if len(self._open) > MAX_OPEN_FRAMES:
                del self._open[next(iter(self._open))]
            return
        account[0] += structural
        account[1] += queue
        account[2] += compute
        account[3] += codec

    def captured(self, frame: int, seconds: float) -> None:
        """The source gives a frame that was captured so long ago: what no queue held it for is decoding."""
        self.add(frame, codec=max(0.0, seconds - sum(self._open.get(frame, ()))))

    def close(self, frame: int, seconds: float) -> None:
        """The sink has taken the frame, so long after its capture."""
        self.end_to_end.add(frame, seconds)
        for part, spent in zip(PARTS, self._open.pop(frame, (0.0,) * len(PARTS)), strict=True):
            self.closed[part].add(frame, spent)
