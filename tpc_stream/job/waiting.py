"""Which chunks a worker makes next: those after its last, so that it goes on with what it has under way."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tpc_stream.job.cutting import JobChunk


class Waiting:
    """The chunks that nobody makes yet."""

    def __init__(self, chunks: Iterable[JobChunk]) -> None:
        self._chunks = {chunk.number: chunk for chunk in sorted(chunks, key=lambda chunk: chunk.number)}

    def __len__(self) -> int:
        return len(self._chunks)

    def back(self, chunk: JobChunk) -> None:
        """It has to be made after all."""
        self._chunks = dict(sorted({**self._chunks, chunk.number: chunk}.items()))

    def take(self, *, after: int | None, others: Collection[int]) -> tuple[JobChunk, int] | None:
        """A chunk for a worker, and how many that follow it are free; None where none is left.

        after: the number of its last chunk. others: of those that other workers are at, who will go on from there. Of
        the longest stretch that is free the worker gets the beginning, or the second half where another worker is on
        its way into it: few stretches are broken up, and at the end all have work.
        """
        if not self._chunks:
            return None
        number = None if after is None else after + 1
        if number not in self._chunks:
            stretch = max(self._stretches(), key=len)
            number = stretch[len(stretch) // 2] if stretch.start - 1 in others else stretch.start
        chunk = self._chunks.pop(number)
        stretch = next((stretch for stretch in self._stretches() if stretch.start == number + 1), range(0))
        return chunk, len(stretch)

    def stretch(self, *, tasks: int) -> list[JobChunk]:
        """Chunks that follow one another, for a worker that cannot be told of more later; not empty unless all is.

        Where so many tasks run at once, it is half of what would be each one's share: long stretches first, so that
        few are broken up, and short ones at the end, so that all have work.
        """
        if not self._chunks:
            return []
        longest = max(self._stretches(), key=len)
        count = min(len(longest), max(1, len(self) // (2 * tasks)))
        return [self._chunks.pop(number) for number in longest[:count]]

    def _stretches(self) -> list[range]:
        """Of numbers that follow one another."""
        stretches: list[range] = []
        for number in self._chunks:
            if stretches and number == stretches[-1].stop:
                stretches[-1] = range(stretches[-1].start, number + 1)
            else:
                stretches.append(range(number, number + 1))
        return stretches
