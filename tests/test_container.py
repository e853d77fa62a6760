"""Opening: networks, cameras, odd names, and one clear line for what cannot be opened."""

from __future__ import annotations

import functools
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import AsAUser
from tests.media import indices, make_video
from tpc_stream.errors import SourceError
from tpc_stream.source import SourceOptions, SourceReport, probe, read_frames

QUICK = SourceOptions(open_timeout_seconds=0.5, read_timeout_seconds=0.5)


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


def test_http_reads_and_seeks(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=60, container_options={"movflags": "faststart"})
    with served(tmp_path) as address:
        info = probe(f"{address}/a.mp4")
        assert (info.live, info.frame_count_estimate) == (False, 60)
        assert indices(f"{address}/a.mp4", start_seconds=1, max_frames=3) == [30, 31, 32]
        with pytest.raises(SourceError, match="server refuses"):
            probe(f"{address}/none.mp4")


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


def test_a_file_without_read_permission_is_refused(tmp_path: Path, as_a_user: AsAUser) -> None:
    data = make_video(tmp_path / "a.mp4", frames=2).read_bytes()
    with as_a_user():
        path = Path("a.mp4")
        path.write_bytes(data)
        probe(path)
        path.chmod(0)
        with pytest.raises(SourceError, match="no permission"):
            probe(path)


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match="no camera at /dev/video99"):
        probe("webcam:99")


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "a.mp4", frames=3).rename(tmp_path / "take:1 100%d.mp4")
    monkeypatch.chdir(tmp_path)
    assert indices("take:1 100%d.mp4") == [0, 1, 2]
