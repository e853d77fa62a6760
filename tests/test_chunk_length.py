"""How long chunks are where nobody says."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from bench.memory import repeat
from tests.made_job import job_spec
from tpc_stream.job.chunk_length import ChunkLengthConfig, default_chunk_frames
from tpc_stream.job.spec import make_spec
from tpc_stream.options import AnimateOptions

RATE = Fraction(25)
CONFIG = ChunkLengthConfig()


def seconds(video_seconds: float, *, stride: int = 1, made_twice: int = 0) -> float:
    frames = round(video_seconds * RATE)
    return float(default_chunk_frames(frames, rate=RATE, stride_frames=stride, made_twice=made_twice) / RATE)


def lost(chunk: np.ndarray, video_seconds: float) -> np.ndarray:
    """The share of the work that goes into cuts, into waiting at the end, and into one kill."""
    k, w = CONFIG.cut_seconds, CONFIG.workers
    return k / chunk + (w - 1) * chunk / (2 * video_seconds) + CONFIG.kills * w * chunk / (2 * video_seconds)


@pytest.mark.parametrize("video_seconds", [600.0, 3600.0, 7200.0])
def test_the_least_is_lost(video_seconds: float) -> None:
    tried = np.linspace(1, 100, 10_000)
    best = tried[lost(tried, video_seconds).argmin()]
    assert seconds(video_seconds) == pytest.approx(best, rel=0.06)


def test_an_hour_has_chunks_of_nineteen_seconds() -> None:
    assert seconds(3600) == pytest.approx((2 * 0.35 * 3600 / 7) ** 0.5, rel=0.01)


def test_no_chunk_is_longer_than_a_minute_nor_so_short_that_cuts_cost_a_twentieth() -> None:
    assert seconds(10_000 * 3600) == pytest.approx(60, abs=0.1)
    assert 7.0 <= seconds(60) < 8
    assert CONFIG.cut_seconds / seconds(60) <= CONFIG.cut_share


@pytest.mark.parametrize(("video_seconds", "chunks"), [(2, 1), (6, 1), (8, 2), (12, 2), (14.1, 4), (27, 4), (60, 8)])
def test_a_short_video_has_a_chunk_for_each_worker_if_cuts_allow(video_seconds: float, chunks: int) -> None:
    length = seconds(video_seconds)
    assert (ceil(round(video_seconds * 25) / (25 * length)) if length else 1) == chunks


def test_lengths_are_whole_strides_and_longer_where_windows_overlap() -> None:
    assert default_chunk_frames(3000, rate=RATE, stride_frames=8, made_twice=0) % 8 == 0
    assert seconds(3600, made_twice=12) == pytest.approx((2 * (0.35 + 12 / 25) * 3600 / 7) ** 0.5, rel=0.03)


def test_a_job_takes_it_where_no_length_is_given(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    spec = job_spec(tiny, reference, motion, tmp_path / "out.mp4")
    short = make_spec(reference, motion, spec.outputs, spec.options, chunk_seconds=None)
    assert short.chunk_seconds == 0 and len(short.chunks) == 1  # 28 frames
    video = tmp_path / "long.mp4"
    repeat(motion, video, seconds=15)
    options = AnimateOptions(bundle=tiny, window=8, overlap=0)
    long = make_spec(reference, video, spec.outputs, options, chunk_seconds=None)
    assert len(long.chunks) == 4 and {len(chunk.frames) % 8 for chunk in long.chunks[:-1]} == {0}
    again = make_spec(reference, video, spec.outputs, options, chunk_seconds=long.chunk_seconds)
    assert again.chunks == long.chunks  # as a job that is resumed
    again.check_same(long)
