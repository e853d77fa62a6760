"""The frames of chunks are those that their index promised, or it is told at the chunk where that shows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.made_job import job_spec
from tpc_stream.frame import Frame
from tpc_stream.job import chunk_frames
from tpc_stream.job.chunk_frames import read_chunks
from tpc_stream.job.frame_index import IndexMismatchError
from tpc_stream.job.spec import JobSpec
from tpc_stream.source import read_frames


@pytest.fixture
def spec(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> JobSpec:
    return job_spec(tiny, reference, motion, tmp_path / "out.mkv")


def test_chunks_together_read_what_they_read_alone(spec: JobSpec) -> None:
    together = {frame.index: frame for frame in read_chunks(spec, spec.chunks)}
    assert list(together) == list(range(28))
    for chunk in spec.chunks:
        alone = list(read_chunks(spec, [chunk]))
        assert [frame.index for frame in alone] == list(chunk.read)
        for frame in alone:
            assert frame.pts_seconds == together[frame.index].pts_seconds == Fraction(frame.index, 25)
            assert (frame.image == together[frame.index].image).all()


@pytest.mark.parametrize(
    ("chunks", "lost", "seen"),
    [
        ([1], 10, "shown at 0.600"),  # its last frame is another's
        ([1, 2], 10, "shown at 0.600"),
        ([1, 2], 20, "shown at 0.920"),
        ([0], 0, "shown at 0.000"),
        ([3], 27, "its index says 16"),  # none takes its place
    ],
)
def test_a_frame_that_is_not_there_is_told_in_its_chunk(
    spec: JobSpec, monkeypatch: pytest.MonkeyPatch, chunks: list[int], lost: int, seen: str
) -> None:
    def without(motion: str, *, start_seconds: Fraction, max_frames: int, options: Any) -> Iterator[Frame]:
        frames = read_frames(motion, start_seconds=start_seconds, max_frames=28, options=options)
        kept = [frame for frame in frames if round((frame.pts_seconds + start_seconds) * 25) != lost]
        yield from (frame for frame in kept[:max_frames] if frame.pts_seconds + start_seconds < Fraction(28, 25))

    monkeypatch.setattr(chunk_frames, "read_frames", without)
    with pytest.raises(IndexMismatchError, match=seen):
        list(read_chunks(spec, [spec.chunks[k] for k in chunks]))
