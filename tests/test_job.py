"""A job in this process: interrupted, resumed, refused; the same pictures in the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bench import walker
from tests.made_job import job_spec, made, resumed, run_alone, run_until, same
from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.job.events import Finished, Started, event_to_json
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.lock import locked
from tpc_stream.job.segment_maker import SegmentMaker
from tpc_stream.job.spec import JobSpec, make_spec
from tpc_stream.job.status import job_status

pytestmark = pytest.mark.usefixtures("someone_known")


@pytest.mark.parametrize(("window", "overlap"), [(8, 0), (8, 4)])
def test_chunks_give_the_pictures_of_a_run_in_one(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, window: int, overlap: int
) -> None:
    """Lossless, so that the pictures are the network's; poses here do not depend on the frames before."""
    for name, seconds, chunks in (("cut.mkv", 0.32, [0, 1, 2, 3]), ("one.mkv", 0.0, [0])):
        spec = job_spec(tiny, reference, motion, tmp_path / name, codec="ffv1")
        options = replace(spec.options, window=window, overlap=overlap, steady_tolerance=0.0)
        assert made(run_alone(make_spec(reference, motion, spec.outputs, options, chunk_seconds=seconds))) == chunks
    assert same(tmp_path / "cut.mkv", tmp_path / "one.mkv")


@pytest.mark.parametrize("finished", [1, 3])
def test_an_interrupted_job_goes_on(spec: JobSpec, whole: Path, finished: int) -> None:
    folder = run_until(spec, finished)
    status = job_status(folder)
    assert (status.finished_chunks, status.chunks, status.running) == (finished, 4, False)
    assert resumed(folder) == list(range(finished, 4))
    assert same(folder.out, whole) and not folder.path.exists()


def test_the_same_call_again_goes_on_as_well(spec: JobSpec, whole: Path) -> None:
    folder = run_until(spec, 2)
    events = run_alone(spec, keep=True)
    assert isinstance(events[0], Started) and events[0].finished_frames == 16
    assert made(events) == [2, 3] and same(folder.out, whole) and folder.path.exists()
    folder.manifest.unlink()  # killed while the folder was removed, after the output had been placed
    assert resumed(folder) == [] and not folder.path.exists() and same(folder.out, whole)


def test_a_folder_without_anything_in_it_is_a_beginning(spec: JobSpec, whole: Path) -> None:
    folder = JobFolder.of(spec.outputs.path)
    folder.path.mkdir()
    (folder.path / "job.json.new").write_text("{")
    assert made(run_alone(spec)) == [0, 1, 2, 3] and same(folder.out, whole)


def test_the_sound_comes_along_and_stays_in_step(spec: JobSpec, motion: Path) -> None:
    run_alone(spec)
    with av.open(str(spec.outputs.path)) as file:
        times = [packet.pts * packet.time_base for packet in file.demux(video=0) if packet.size]
        assert times == [Fraction(k, 25) for k in range(28)]
        assert file.streams.audio[0].codec_context.name == "aac"
    with av.open(str(spec.outputs.path)) as file, av.open(str(motion)) as source:
        ours = [bytes(packet) for packet in file.demux(audio=0) if packet.size]
        theirs = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
        first = theirs.index(ours[0])  # the source has one before its time 0
        assert len(ours) > 40 and ours == theirs[first : first + len(ours)]


def test_two_processes_do_not_share_a_job(spec: JobSpec) -> None:
    folder = run_until(spec, 1)
    with locked(folder.lock, workers=2):
        status = job_status(folder)
        assert status.running and status.frames_per_second is not None
        with pytest.raises(InputError, match=r"process \d+ on .* works on"):
            resumed(folder)
    folder.lock.write_text('{"pid": 1, "host": "gone"}')  # left by a process that was killed
    assert resumed(folder) == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "none"}, "joined to a video file"),
        ({"path": "frames/"}, "joined to a video file"),
        ({"audio_track": 7}, "no track 7"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        job_spec(tiny, reference, motion, tmp_path / "out.mp4", **change)


def test_an_output_that_exists_is_not_replaced(spec: JobSpec) -> None:
    Path(spec.outputs.path).write_text("mine")
    with pytest.raises(SinkError, match="exists"):
        run_alone(spec)
    assert Path(spec.outputs.path).read_text() == "mine" and not JobFolder.of(spec.outputs.path).path.exists()


def test_events_are_lines_of_json() -> None:
    line = event_to_json(Finished("out.mp4", 60, 2.4))
    assert json.loads(line) == {"event": "finished", "path": "out.mp4", "frames": 60, "seconds": 2.4}


@pytest.mark.parametrize(("window", "overlap"), [(8, 0), (8, 4)])
def test_a_chunk_that_is_gone_on_with_is_the_chunk_alone(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, window: int, overlap: int
) -> None:
    """With calibrations that follow the past, so that a chunk's depend on where its look back begins."""
    spec = job_spec(tiny, reference, motion, tmp_path / "out.mkv", codec="ffv1")
    spec = make_spec(
        reference, motion, spec.outputs, replace(spec.options, window=window, overlap=overlap), chunk_seconds=0.32
    )
    opened: list[int] = []

    def counted(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        """As trackers do, each sees the person a little elsewhere, by where it began."""
        opened.append(len(opened))
        first: int | None = None
        for item in walker.poses(frames):
            first = item.frame.index if first is None else first
            assert item.body is not None
            elsewhere = np.roll(item.body.silhouette, first // 4, axis=1)
            moved = item.body.keypoints + np.float32([first // 4, 0])
            yield replace(item, body=replace(item.body, keypoints=moved, silhouette=elsewhere))

    def made_in(name: str, orders: list[tuple[int, int]]) -> tuple[list[Path], int]:
        opened.clear()
        with SegmentMaker(spec, threads=1, pose_stage=counted) as maker:
            for number, onward in orders:
                assert list(maker.make(spec.chunks[number], tmp_path / f"{name}{number}.mkv", onward=onward))
        return [tmp_path / f"{name}{number}.mkv" for number in range(4)], len(opened)

    alone, trackers = made_in("alone", [(3, 0), (2, 0), (1, 0), (0, 0)])
    assert trackers == 7  # each chunk's own, and that of the one after it
    for orders, wanted in (
        ([(0, 3), (1, 2), (2, 1), (3, 0)], 4),
        ([(1, 2), (2, 1), (0, 0), (3, 0)], 6),  # the third was under way when another was asked for
        ([(0, 0), (1, 0), (2, 1), (3, 0)], 6),  # more than was in view follows after all
    ):
        together, trackers = made_in("together", orders)
        assert trackers == wanted
        assert all(same(ours, theirs) for ours, theirs in zip(together, alone, strict=True))
        for path in together:
            path.unlink()


def test_chunks_that_somebody_else_took_are_not_begun(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    spec = job_spec(tiny, reference, motion, tmp_path / "out.mkv", codec="ffv1")
    seen: list[int] = []

    def noting(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for item in walker.poses(frames):
            seen.append(item.frame.index)
            yield item

    with SegmentMaker(spec, threads=1, pose_stage=noting) as maker:
        for number, onward in ((0, 3), (1, 0)):
            assert list(maker.make(spec.chunks[number], tmp_path / f"{number}.mkv", onward=onward))[-1] == 8
        assert max(seen) == spec.chunks[1].read.stop - 1
