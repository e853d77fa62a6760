"""A task of Ray makes its chunks one after the other, each in view of those that follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.test_waiting import CHUNKS
from tpc_stream.cluster import chunk_task
from tpc_stream.errors import SinkError
from tpc_stream.job.cutting import JobChunk


class Maker:
    """Writes a text for each chunk; the disk is full at chunk 3."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def make(self, chunk: JobChunk, path: Path, *, onward: int) -> Iterator[int]:
        self.told.append((chunk.number, onward))
        if chunk.number == 3:
            raise SinkError("the disk is full")
        path.write_text(f"chunk {chunk.number}")
        yield len(chunk.frames)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    made = Maker()
    workshop = SimpleNamespace(spec=SimpleNamespace(chunks=CHUNKS), maker=made, depot=None)
    monkeypatch.setattr(chunk_task, "_workshop", lambda job: workshop)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out.mp4.tpc").mkdir()
    return tmp_path / "out.mp4.tpc"


def answers(folder: Path, numbers: list[int]) -> list[tuple[Any, ...]]:
    return [answer for answer in chunk_task.make_chunks({"folder": str(folder)}, numbers) if answer[0] != "frames"]


def test_each_chunk_is_made_in_view_of_the_rest(maker: Maker, folder: Path) -> None:
    found = answers(folder, [0, 1, 2])
    assert maker.told == [(0, 2), (1, 1), (2, 0)]
    assert [answer[0] for answer in found] == ["segment"] * 3
    assert [answer[1]["size_bytes"] for answer in found] == [len("chunk 0")] * 3


def test_what_was_made_before_a_failure_is_told(maker: Maker, folder: Path) -> None:
    first, second = answers(folder, [2, 3, 4])
    assert first[0] == "segment" and second[:2] == ("failed", "SinkError") and "the disk is full" in second[2]
    assert maker.told == [(2, 2), (3, 1)]
