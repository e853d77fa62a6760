"""Videos as frames: which ones, and exactly when."""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tests.media import indices, make_video, read_bars
from tpc_stream.errors import InputError, SourceError
from tpc_stream.source import SourceReport, probe, read_frames

NTSC = Fraction(30_000, 1001)


def test_times_are_exact_at_a_broadcast_rate(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=24, rate=NTSC)
    frames = list(read_frames(path))
    assert [f.pts_seconds for f in frames] == [k / NTSC for k in range(24)]
    assert [f.index for f in frames] == [read_bars(f.image) for f in frames] == list(range(24))
    assert all(a.captured_seconds <= b.captured_seconds for a, b in pairwise(frames))


def test_probe_tells_what_reading_gives(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=24, rate=NTSC, audio_tracks=2))
    assert (info.kind, info.width, info.height, info.rate) == ("video", 96, 64, NTSC)
    assert (info.frame_count_estimate, info.duration_seconds, info.audio_streams) == (24, 24 / NTSC, 2)
    assert (info.codec, info.has_alpha, info.live, info.variable_rate) == ("h264", False, False, False)
    assert probe(tmp_path / "a.mp4", max_frames=7).frame_count_estimate == 7
    assert probe(tmp_path / "a.mp4", start_seconds=Fraction(1, 2)).frame_count_estimate == 24 - 15


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    times = [Fraction(t, 1000) for t in (0, 40, 100, 500, 2000, 2040)]
    path = make_video(tmp_path / f"a.{suffix}", frames=6, times=times)
    assert [f.pts_seconds for f in read_frames(path)] == times
    report = SourceReport()
    assert indices(path, start_seconds=0.1, end_seconds=2.04, report=report) == [2, 3, 4]
    assert report.frames_missing == 0
    if suffix == "mp4":
        assert probe(path).variable_rate


def test_times_count_from_the_start_of_the_range(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=40, rate=NTSC)
    frame = next(read_frames(path, start_seconds=1))
    assert (frame.index, read_bars(frame.image), frame.pts_seconds) == (0, 30, 30 / NTSC - 1)


@pytest.mark.parametrize("tracks", [0, 1, 2])
def test_sound_does_not_change_the_pictures(tmp_path: Path, tracks: int) -> None:
    path = make_video(tmp_path / "a.mp4", frames=9, audio_tracks=tracks)
    report = SourceReport()
    assert indices(path, report=report) == list(range(9))
    assert probe(path).audio_streams == tracks
    assert report == SourceReport(frames=9)


def test_an_empty_range_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30)
    with pytest.raises(SourceError, match="lasts 1 s"):
        indices(path, start_seconds=5)
    for bad in ({"start_seconds": -1}, {"start_seconds": 2, "end_seconds": 2}, {"max_frames": 0},
                {"end_seconds": float("nan")}):  # fmt: skip
        with pytest.raises(InputError):
            read_frames(path, **bad)


def test_closing_early_releases_the_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60)

    def is_open() -> bool:
        links = [Path(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        return any(os.path.realpath(link) == str(path) for link in links)

    frames = read_frames(path, start_seconds=0.5)
    assert not is_open()
    next(frames)
    assert is_open()
    frames.close()
    assert not is_open()
    list(read_frames(path))
    assert not is_open()


@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("tpc-official/driving.mp4", 93, (512, 512)),
        ("tpc-official/densepose.mp4", 93, (512, 512)),
        ("videos/taichi.mp4", 301, (720, 1280)),
        ("videos/squats.mp4", 65, (720, 1280)),
    ],
)
def test_the_samples_read_fully(shared: Path, name: str, count: int, size: tuple[int, int]) -> None:
    path, report = shared / "samples" / name, SourceReport()
    info = probe(path)
    assert (info.width, info.height, info.frame_count_estimate) == (*size, count)
    frames = [(f.index, f.pts_seconds) for f in read_frames(path, report=report)]
    assert info.rate is not None
    assert frames == [(k, k / info.rate) for k in range(count)]
    assert report == SourceReport(frames=count)
