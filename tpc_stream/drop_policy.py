"""What happens to the frames of a live source when the pipeline is slower than it: four policies, and their queue.

    none      nothing is dropped: the source waits for room. A file and a pipe can; a camera or a network then drops by
              itself, unseen, and the delay grows to what its driver buffers.
    latest    keeps the newest: a frame that comes to a full queue pushes out the one that has waited longest. The
              shortest delay. Default of live sources.
    oldest    keeps what waits: a frame that comes to a full queue is dropped. Runs of neighbouring frames, then a jump.
    adaptive  thins the source evenly to the pace that the pipeline was measured to take, so that motion stays even;
              a full queue is treated as `latest` does.

Dropping happens before the pose is estimated, where a frame has cost no more than its decoding. Groups and windows are
cut on the frames that go on, so that none is ever short of a member.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from tpc_stream.errors import InputError

DropPolicy = Literal["latest", "oldest", "none", "adaptive"]
POLICIES: tuple[DropPolicy, ...] = ("latest", "oldest", "none", "adaptive")

CAPACITY_FRAMES = 2
"""Frames that may wait between a live source and the pipeline: within 2 chunks, as a chunk is 1 frame or more. One
lies ready while the pose stage is at work, the second evens out a late one; each more would only be older when used."""
SMOOTHING_FRAMES = 32
"""Frames over which `adaptive` averages both paces: four windows of 8, so that their bursts even out."""

T = TypeVar("T")


class Thinning:
    """Which share of a source's frames a slower consumer can take, and an even choice of them.

    The share is the source's interval over the consumer's busy time: the time between its taking a frame and its asking
    for the next, which does not count its waiting for the source. So it finds the pace even when nothing is in want.
    """

    def __init__(self) -> None:
        self._came: float | None = None
        self._took: float | None = None
        self._interval: float | None = None
        self._busy: float | None = None
        self._credit = 1.0  # the first frame goes on

    @property
    def share(self) -> float:
        """(0, 1]: of the frames that come, so many are kept."""
        if not self._interval or not self._busy:
            return 1.0
        return min(1.0, self._interval / self._busy)

    def wants(self, now: float) -> bool:
        """A frame has come, now: whether it is one of those that are kept."""
        if self._came is not None:
            self._interval = _smoothed(self._interval, now - self._came)
        self._came = now
        share = self.share
        if self._credit < 1.0 - 1e-9:
            self._credit += share
            return False
        self._credit += share - 1.0
        return True

    def took(self, *, asked: float, given: float) -> None:
        """The consumer asked for a frame and was given it, seconds of the same clock."""
        if self._took is not None:
            self._busy = _smoothed(self._busy, asked - self._took)
        self._took = given


def _smoothed(mean: float | None, value: float) -> float:
    return value if mean is None else mean + (value - mean) / SMOOTHING_FRAMES


class Line(Generic[T]):
    """Items that wait for their consumer, first in, first out, under a policy. Owns no thread, lock or clock."""

    def __init__(self, *, capacity: int, policy: DropPolicy = "none", lost: Callable[[T, int], None] | None = None):
        """capacity: most items that wait. lost: called with each dropped item and its number, 0 for the first put."""
        if policy not in POLICIES:
            raise InputError(f"a drop policy is one of {', '.join(POLICIES)}, got {policy!r}")
        self.capacity = capacity
        self.policy = policy
        self.offered = 0
        """Items put so far, dropped ones included."""
        self._lost = lost
        self._waiting: deque[tuple[T, int, float]] = deque()
        self._thinning = Thinning() if policy == "adaptive" else None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def blocked(self) -> bool:
        """Whether the producer has to wait before it puts another item."""
        return self.policy == "none" and len(self._waiting) >= self.capacity

    def put(self, item: T, now: float) -> None:
        """The item joins the line, or it or another is dropped. Call it under policy "none" only when not `blocked`."""
        number = self.offered
        self.offered += 1
        if self._thinning is not None and not self._thinning.wants(now):
            self._drop(item, number)
        elif len(self._waiting) < self.capacity or self.policy == "none":
            self._waiting.append((item, number, now))
        elif self.policy == "oldest":
            self._drop(item, number)
        else:
            self._drop(*self._waiting.popleft()[:2])
            self._waiting.append((item, number, now))

    def take(self, *, asked: float, now: float) -> tuple[T, float]:
        """The item that has waited longest, and since when; `asked`: when the consumer came for it."""
        item, _, since = self._waiting.popleft()
        if self._thinning is not None:
            self._thinning.took(asked=asked, given=now)
        return item, since

    def first(self) -> T | None:
        """What would be taken next; None where nothing waits."""
        return self._waiting[0][0] if self._waiting else None

    def clear(self) -> None:
        """Forget what waits; it does not count as dropped."""
        self._waiting.clear()

    def _drop(self, item: T, number: int) -> None:
        if self._lost is not None:
            self._lost(item, number)
