"""Seeking and clocks of each container, and what is said of data that is damaged or gone."""

from __future__ import annotations

import logging
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.media import bars, indices, make_video, packets_of
from tpc_stream.errors import SourceError
from tpc_stream.source import SourceReport, probe, read_frames

NTSC = Fraction(30_000, 1001)


def noisy(index: int) -> np.ndarray:
    """Bars that do not compress to nothing, so that a file can be cut between frames."""
    noise = np.random.default_rng(index).integers(-25, 25, (128, 192, 3))
    return (bars(index, width=192, height=128) + noise).clip(0, 255).astype(np.uint8)


def make_noisy(path: Path, **options: Any) -> Path:
    return make_video(path, width=192, height=128, draw=noisy, frames=60, gop=20, **options)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    short = path.with_name(f"cut_{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short


def blank_packet(path: Path, number: int) -> Path:
    data, (position, size) = bytearray(path.read_bytes()), packets_of(path)[number]
    data[position : position + size] = bytes(size)
    damaged = path.with_name(f"damaged_{path.name}")
    damaged.write_bytes(bytes(data))
    return damaged


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "h264"])
def test_a_range_is_exact_with_b_frames_and_long_groups(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"a.{suffix}", frames=120, gop=50, b_frames=3)
    assert indices(path) == list(range(120))
    for first in (1, 49, 50, 51, 99, 119):
        assert indices(path, start_seconds=Fraction(first, 30), max_frames=2) == [first, first + 1][: 120 - first]
    assert indices(path, start_seconds=1.5, end_seconds=1.6) == [45, 46, 47]
    assert indices(path, end_seconds=0.1) == [0, 1, 2]


def test_a_clock_that_starts_late_is_set_to_zero(tmp_path: Path) -> None:
    times = [5 + Fraction(k, 30) for k in range(10)]
    path = make_video(tmp_path / "a.ts", frames=10, times=times)
    assert [f.pts_seconds for f in read_frames(path)] == [Fraction(k, 30) for k in range(10)]
    assert probe(path).origin_seconds >= 5
    assert indices(path, start_seconds=Fraction(4, 30), max_frames=1) == [4]


def test_missing_times_come_from_the_rate(tmp_path: Path) -> None:
    path, report = make_video(tmp_path / "a.h264", frames=12, rate=NTSC), SourceReport()
    assert [f.pts_seconds for f in read_frames(path, report=report)] == [k / NTSC for k in range(12)]
    assert report.repaired_times == 12


def test_a_cut_file_gives_all_frames_before_the_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = make_noisy(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    report = SourceReport()
    with caplog.at_level(logging.WARNING):
        got = indices(cut(whole, 0.5), report=report)
    assert got == list(range(len(got))) and 20 < len(got) < 40
    assert (report.frames, report.frames_missing) == (len(got), 60 - len(got))
    assert any(f"{60 - len(got)} fewer" in text for text in report.warnings)
    assert [r.message for r in caplog.records] == report.warnings


def test_a_cut_matroska_says_how_many_are_missing(tmp_path: Path) -> None:
    report = SourceReport()
    got = indices(cut(make_noisy(tmp_path / "a.mkv", audio_tracks=1), 0.5), report=report)
    assert got == list(range(len(got))) and 20 < len(got) < 40
    assert report.frames_missing == 60 - len(got)


def test_a_cut_fragmented_file_gives_what_is_there(tmp_path: Path) -> None:
    whole = make_noisy(tmp_path / "a.mp4", container_options={"movflags": "frag_keyframe+empty_moov"})
    report = SourceReport()
    got = indices(cut(whole, 0.5), report=report)
    assert got == list(range(len(got))) and 20 < len(got) < 40
    assert report.frames_missing > 0


def test_a_file_without_its_index_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="end is cut off") as caught:
        indices(cut(make_noisy(tmp_path / "a.mp4"), 0.5))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [30, 59])
def test_a_damaged_packet_costs_its_own_frame_alone(tmp_path: Path, number: int) -> None:
    """The last packet too: what frame threads still hold then must not be lost."""
    report = SourceReport()
    frames = list(read_frames(blank_packet(make_noisy(tmp_path / "a.mp4"), number), report=report))
    assert len(frames) == 59
    assert (report.corrupt_packets, report.frames_missing) == (1, 1)
    assert all(a.pts_seconds < b.pts_seconds for a, b in pairwise(frames))
    assert [f.index for f in frames] == list(range(59))
