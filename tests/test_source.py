"""Files, URLs and ranges as frames: which ones, when, and what is said of those that are gone."""

from __future__ import annotations

import functools
import http.server
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.media import bars, make_video, packets_of, read_bars
from tpc_stream.errors import InputError, SourceError
from tpc_stream.source import SourceOptions, SourceReport, probe, read_frames

NTSC = Fraction(30_000, 1001)
QUICK = SourceOptions(open_timeout_seconds=0.5, read_timeout_seconds=0.5)


def indices(path: Path | str, **options: object) -> list[int]:
    return [read_bars(frame.image) for frame in read_frames(path, **options)]  # type: ignore[arg-type]


def noisy(index: int) -> np.ndarray:
    """Bars that do not compress to nothing, so that a file can be cut between frames."""
    noise = np.random.default_rng(index).integers(-25, 25, (128, 192, 3))
    return (bars(index, width=192, height=128) + noise).clip(0, 255).astype(np.uint8)


def make_noisy(path: Path, **options: object) -> Path:
    return make_video(path, width=192, height=128, draw=noisy, frames=60, gop=20, **options)  # type: ignore[arg-type]


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


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


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


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "h264"])
def test_a_range_is_exact_with_b_frames_and_long_groups(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"a.{suffix}", frames=120, gop=50, b_frames=3)
    assert indices(path) == list(range(120))
    for first in (1, 49, 50, 51, 99, 119):
        assert indices(path, start_seconds=Fraction(first, 30), max_frames=2) == [first, first + 1][: 120 - first]
    assert indices(path, start_seconds=1.5, end_seconds=1.6) == [45, 46, 47]
    assert indices(path, end_seconds=0.1) == [0, 1, 2]


def test_times_count_from_the_start_of_the_range(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=40, rate=NTSC)
    frame = next(read_frames(path, start_seconds=1))
    assert (frame.index, read_bars(frame.image), frame.pts_seconds) == (0, 30, 30 / NTSC - 1)


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


@pytest.mark.parametrize("tracks", [0, 1, 2])
def test_sound_does_not_change_the_pictures(tmp_path: Path, tracks: int) -> None:
    path = make_video(tmp_path / "a.mp4", frames=9, audio_tracks=tracks)
    report = SourceReport()
    assert indices(path, report=report) == list(range(9))
    assert probe(path).audio_streams == tracks
    assert report == SourceReport(frames=9)


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


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.mp4", None, "no file"),
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", b"\x13\x37" * 4000, "not a video"),
        ("notes.txt", b"These are notes.\n" * 50, "not a video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    for read in (probe, lambda p: next(read_frames(p))):
        with pytest.raises(SourceError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.m4a", picture=False, audio_tracks=1)
    with pytest.raises(SourceError, match="has sound but no picture"):
        probe(path)


def test_no_frame_at_all_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=0)
    with pytest.raises(SourceError):
        probe(path)
    with pytest.raises(SourceError):
        indices(path)


def test_an_empty_range_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30)
    with pytest.raises(SourceError, match="lasts 1 s"):
        indices(path, start_seconds=5)
    for bad in ({"start_seconds": -1}, {"start_seconds": 2, "end_seconds": 2}, {"max_frames": 0},
                {"end_seconds": float("nan")}):  # fmt: skip
        with pytest.raises(InputError):
            read_frames(path, **bad)  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2)
    path.chmod(0)
    with pytest.raises(SourceError, match="no permission"):
        probe(path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_closing_early_releases_the_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60)

    def is_open() -> bool:
        links = [Path(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        return any(os.path.realpath(link) == str(path) for link in links)

    frames = read_frames(path, start_seconds=0.5)
    assert not is_open()
    next(frames)
    assert is_open()
    frames.close()  # type: ignore[attr-defined]
    assert not is_open()
    list(read_frames(path))
    assert not is_open()


def test_http_reads_and_seeks(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=60, container_options={"movflags": "faststart"})
    with served(tmp_path) as address:
        info = probe(f"{address}/a.mp4")
        assert (info.live, info.frame_count_estimate) == (False, 60)
        assert indices(f"{address}/a.mp4", start_seconds=1, max_frames=3) == [30, 31, 32]
        with pytest.raises(SourceError, match="server refuses"):
            probe(f"{address}/none.mp4")


@contextmanager
def sending(data: bytes | None) -> Iterator[str]:
    """A TCP server for one client; None: it never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if data is not None:
                    connection.sendall(data)
                else:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def test_a_live_stream_is_read_to_its_end(tmp_path: Path) -> None:
    data = make_video(tmp_path / "a.ts", frames=30, b_frames=0).read_bytes()
    report = SourceReport()
    with sending(data) as address:
        assert indices(address, options=QUICK, report=report) == list(range(30))
    assert report.frames_missing == 0
    with sending(data) as address:
        assert probe(address, options=QUICK).live


def test_a_silent_server_is_given_up() -> None:
    with sending(None) as address, pytest.raises(SourceError, match=r"no answer within 0\.5 s"):
        probe(address, options=QUICK)


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match="no camera at /dev/video99"):
        probe("webcam:99")


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "a.mp4", frames=3).rename(tmp_path / "take:1 100%d.mp4")
    monkeypatch.chdir(tmp_path)
    assert indices("take:1 100%d.mp4") == [0, 1, 2]


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
