"""Which chunks a worker makes next: those after its last, so that it goes on with what it has under way."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tpc_stream.job.cutting import JobChunk
from tpc_stream.job.messages import Make

MOST_IN_A_ROW = 8
"""For a worker that cannot be told of more later: seven cuts of eight are saved, and others can still help."""


class Waiting:
    """The chunks that nobody makes yet."""

    def __init__(self, chunks: Iterable[JobChunk]) -> None:
        self._chunks = {chunk.number: chunk for chunk in sorted(chunks, key=lambda chunk: chunk.number)}
        self._apart = set[int]()

    def __len__(self) -> int:
        return len(self._chunks)

    def back(self, chunk: JobChunk, *, apart: bool = False) -> None:
        """It has to be made after all; apart: by itself, so that what breaks its worker is its own fault."""
        self._chunks = dict(sorted({**self._chunks, chunk.number: chunk}.items()))
        if apart:
            self._apart.add(chunk.number)

    def take(self, *, after: int | None, others: Collection[int]) -> Make | None:
        """A chunk for a worker, and how many that follow it are free; None where none is left.

        after: the number of its last chunk. others: of those that other workers are at, who will go on from there. Of
        the longest stretch that is free the worker gets the beginning, or the second half where another worker is on
        its way into it: few stretches are broken up, and at the end all have work.
        """
        if not self._chunks:
            return None
        number = None if after is None else after + 1
        if number not in self._chunks:
            longest = max(self._stretches(), key=len)
            number = longest[len(longest) // 2] if longest.start - 1 in others else longest.start
        (stretch,) = (stretch for stretch in self._stretches() if number in stretch)
        return Make(self._chunks.pop(number), stretch.stop - 1 - number)

    def stretch(self, *, tasks: int) -> list[JobChunk]:
        """Chunks that follow one another, for a worker that cannot be told of more later; not empty unless all is.

        Where so many tasks run at once, it is half of what would be each one's share: long stretches first, so that
        few are broken up, and short ones at the end, so that all have work.
        """
        if not self._chunks:
            return []
        longest = max(self._stretches(), key=len)
        count = min(len(longest), MOST_IN_A_ROW, max(1, len(self) // (2 * tasks)))
        return [self._chunks.pop(number) for number in longest[:count]]

    def _stretches(self) -> list[range]:
        """Of numbers that follow one another, and may be made so."""
        stretches: list[range] = []
        for number in self._chunks:
            if stretches and number == stretches[-1].stop and not {number - 1, number} & self._apart:
                stretches[-1] = range(stretches[-1].start, number + 1)
            else:
                stretches.append(range(number, number + 1))
        return stretches
