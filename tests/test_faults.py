"""What goes wrong in the middle of a run: it ends within 2 s, nothing hangs, and the first error is the one told."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import tpc_stream.pipeline
import tpc_stream.relay
from tests.fake_clock import time_limit
from tests.live_streams import broadcasting, wait_until
from tests.synthetic import body, frame
from tpc_stream.captured import CapturedFrames
from tpc_stream.denoise import Denoiser
from tpc_stream.errors import EngineError, SinkError, SourceError
from tpc_stream.frame import AnimatedFrame, Frame, PosedFrame
from tpc_stream.motion import Motion, open_motion
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.procrustes import warm_up
from tpc_stream.reading.source_info import SourceInfo, SourceOptions
from tpc_stream.sink import write_video

END_SECONDS = 2.0


@pytest.fixture(autouse=True)
def hard_limit() -> Iterator[None]:
    """Every test here ends, also where others use the machine, and leaves no thread behind."""
    before = set(threading.enumerate())
    with time_limit(240):
        yield
        wait_until(lambda: set(threading.enumerate()) <= before)


@pytest.fixture(scope="module")
def prepared(tiny: Path, reference: Path) -> Iterator[Animator]:
    warm_up()  # compiling the search may take a while, and no test here is about it
    with Animator(AnimateOptions(bundle=tiny)) as made:
        made.set_reference(reference)
        yield made


@pytest.fixture
def animator(prepared: Animator, monkeypatch: pytest.MonkeyPatch) -> Animator:
    """With a reference, and poses that cost nothing."""
    monkeypatch.setattr(prepared, "_pose_stage", stick_poses)
    return prepared


def stick_poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    for item in frames:
        height, width = item.image.shape[:2]
        yield PosedFrame(item, body(width, height))


class Camera(Motion):
    """A live source of our own, which may break, end, or fall silent."""

    def __init__(self, source: Iterable[Frame]) -> None:
        super().__init__()
        self.captured = CapturedFrames(source, policy="latest", report=self.report)

    @property
    def info(self) -> SourceInfo:
        raise AssertionError("the pipeline has no need of it")

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.captured)

    def stop(self) -> None:
        self.captured.stop()

    def close(self) -> None:
        self.captured.close()


class Ticking:
    """A frame every 20 ms until `count`, then `error`, or nothing more for ever."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error, self.over = count, error, threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for k in range(self.count):
            if self.over.wait(0.02):
                return
            yield frame(k)
        if self.error is not None:
            raise self.error
        self.over.wait()

    def interrupt(self) -> None:
        self.over.set()


def test_a_camera_that_is_unplugged_is_told_after_its_frames(animator: Animator) -> None:
    camera, made = Camera(Ticking(40, SourceError("the camera is gone: plug it in again"))), []
    last = 0.0
    with pytest.raises(SourceError, match="plug it in"):
        for item in animator.animate(camera):
            made.append(item.index)
            last = time.monotonic()
    camera.close()
    assert time.monotonic() - last < END_SECONDS
    assert made and made == list(range(len(made)))


def test_a_camera_that_falls_silent_does_not_hold_the_end_up(animator: Animator) -> None:
    camera = Camera(Ticking(30))
    stream = animator.animate(camera)
    next(stream)
    began = time.monotonic()
    stream.close()
    camera.close()
    assert time.monotonic() - began < END_SECONDS


@pytest.mark.parametrize("name", ["fit_frames", "calibrate", "condition", "denoise", "decode", "pose"])
def test_an_error_in_any_stage_stops_every_thread(
    name: str, animator: Animator, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_at = 0.0

    def failing(items: Iterable[object], *_: object, **__: object) -> Iterator[object]:
        nonlocal failed_at
        for number, _ in enumerate(items):
            if number == 5:
                failed_at = time.monotonic()
                raise EngineError(f"{name} is broken")
            yield from ()

    if name == "pose":
        monkeypatch.setattr(animator, "_pose_stage", failing)
    elif name in ("condition", "denoise"):
        monkeypatch.setattr(Denoiser, name, staticmethod(failing))
    else:
        monkeypatch.setattr(tpc_stream.relay if name == "calibrate" else tpc_stream.pipeline, name, failing)
    before = threading.active_count()
    camera = Camera(Ticking(10**6))
    with pytest.raises(EngineError, match=f"{name} is broken"):
        list(animator.animate(camera))
    camera.close()
    assert time.monotonic() - failed_at < END_SECONDS
    assert threading.active_count() == before


def test_the_first_error_is_the_one_shown(animator: Animator, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(Ticking):
        def __iter__(self) -> Iterator[Frame]:
            try:
                yield from super().__iter__()
            finally:
                raise OSError("and the camera cannot be released")

    camera = Camera(Stubborn(10**6))

    def failing(items: Iterable[Frame]) -> Iterator[PosedFrame]:
        yield from (item for item in stick_poses(items) if item.frame.index < 20 or _fail())

    monkeypatch.setattr(animator, "_pose_stage", failing)
    with pytest.raises(EngineError, match="the estimator burns"):
        list(animator.animate(camera))
    with suppress(OSError):  # whether the camera was at its end already when it was closed, is a race
        camera.close()


def _fail() -> bool:
    raise EngineError("the estimator burns")


def test_a_sink_that_fails_ends_the_source(animator: Animator, tmp_path: Path) -> None:
    ticking = Ticking(10**6)
    camera = Camera(ticking)

    def narrow(items: Iterator[AnimatedFrame]) -> Iterator[AnimatedFrame]:
        for item in items:
            yield item
            if item.index == 9:
                raise SinkError("no space left")

    stream = animator.animate(camera)
    with pytest.raises(SinkError, match="no space left"):
        list(write_video(narrow(stream), tmp_path / "a.mp4"))
    stream.close()
    camera.close()
    assert ticking.over.is_set()
    with av.open(str(tmp_path / "a.mp4")) as made:
        assert len(list(made.decode(video=0))) == 10


def test_a_stream_that_is_lost_for_good_leaves_a_whole_run(animator: Animator) -> None:
    options = SourceOptions(stall_seconds=0.3, retry_seconds=0.05, reconnect_seconds=0.2)
    with broadcasting() as server:
        motion = open_motion(server.url, options=options)
        made = []
        for item in animator.animate(motion):
            made.append(item.index)
            if len(made) == 8:
                server.off()
        motion.close()
    assert made == list(range(len(made))) and len(made) >= 8
    assert "was gone" in motion.report.interrupted
    assert animator.source_report is motion.report


def test_frames_of_any_size_and_kind_pass(animator: Animator) -> None:
    sizes = [(64, 48), (48, 64), (200, 100), (1, 300), (64, 48)]

    def changing() -> Iterator[Frame]:
        for k in range(20):
            width, height = sizes[k // 4]
            alpha = np.full((height, width), 255, np.uint8) if k % 2 else None
            yield Frame(k, Fraction(k, 25), np.full((height, width, 3), 90, np.uint8), 0.0, alpha)

    made = list(animator.animate(changing()))
    assert [item.image.shape for item in made] == [(32, 32, 3)] * 20


def test_playing_a_file_at_its_own_rate_drops_and_counts(animator: Animator, motion: Path) -> None:
    with broadcasting():  # something else keeps the machine busy
        played = open_motion(motion, realtime=True, end_seconds=1)
        made = []
        for item in animator.animate(played):
            made.append(item)
            time.sleep(0.06)
        played.close()
    report = played.report
    assert [item.index for item in made] == list(range(len(made)))
    assert report.captured == 25 == len(made) + len(report.dropped)
    assert [item.pts_seconds for item in made] == [
        Fraction(k, 25) - made[0].source.frame.pts_seconds for k in report.kept_indices()
    ]


def test_sigterm_ends_a_live_run_with_a_whole_file(tiny: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    with broadcasting() as server:
        command = [
            sys.executable, "-m", "tpc_stream", "animate", "-r", reference, "-m", server.url, "-o", out,
            "--bundle", tiny, "--no-sheet",
        ]  # fmt: skip
        with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_until(lambda: process.poll() is not None or (out.exists() and out.stat().st_size > 0), 180)
                begun = server.number  # the file is there while its first frame is being encoded
                wait_until(lambda: process.poll() is not None or server.number > begun + 30)
                process.terminate()
                _, err = process.communicate(timeout=30)
            finally:
                process.kill()
    assert process.returncode == 143, err
    assert "interrupted after" in err and "Traceback" not in err
    assert "frames were dropped" in err or "frames dropped: 0" in err.replace("\n", " ")
    with av.open(str(out)) as made:
        assert len(list(made.decode(video=0))) >= 1
    assert out.with_suffix(".json").is_file()
