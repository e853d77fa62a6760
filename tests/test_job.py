"""A job in this process: interrupted, resumed, damaged, refused; the same pictures in the end."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from bench import walker
from tests.made_job import job_spec, made, pictures, run_alone, run_until, same
from tests.media import make_video
from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import Portrait
from tpc_stream.job.events import Finished, Recut, Started, event_to_json
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.frame_index import FrameIndex
from tpc_stream.job.lock import locked
from tpc_stream.job.run_job import JobConfig, resume_job
from tpc_stream.job.spec import JobSpec, make_spec
from tpc_stream.job.status import job_status


@pytest.fixture(scope="module", autouse=True)
def known_person() -> Iterator[None]:
    """Finding somebody in a picture takes a second, in each of these runs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tpc_stream.pipeline.prepare_portrait", lambda *_, width, height, **__: person(width, height))
        yield


def person(width: int, height: int) -> Portrait:
    return walker.portrait((width, height))


@pytest.fixture
def spec(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> JobSpec:
    return job_spec(tiny, reference, motion, tmp_path / "out.mkv", codec="ffv1")


@pytest.fixture(scope="module")
def whole(tiny: Path, reference: Path, motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job in four chunks, never interrupted; lossless, so that its pictures are the network's."""
    out = tmp_path_factory.mktemp("whole") / "whole.mkv"
    events = run_alone(job_spec(tiny, reference, motion, out, codec="ffv1"))
    assert made(events) == [0, 1, 2, 3] and not Path(f"{out}.tpc").exists()
    assert isinstance(events[-1], Finished) and events[-1].frames == 28
    return out


def resumed(folder: JobFolder) -> list[int]:
    return made(list(resume_job(folder, config=JobConfig(pose_stage=walker.poses))))


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


def test_a_damaged_segment_is_made_anew(spec: JobSpec, whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = run_until(spec, 3)
    damaged = bytearray(folder.segment(1).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    folder.segment(1).write_bytes(damaged)
    (folder.path / "chunk_00002.json").write_text("{}")
    assert resumed(folder) == [1, 2, 3] and same(folder.out, whole)
    assert "chunk 1 is made anew" in caplog.text


def test_half_a_folder_is_enough(spec: JobSpec, whole: Path) -> None:
    folder = run_until(spec, 3)
    folder.segment(0).unlink()
    folder.lock.unlink()
    (folder.path / "part_99999_3.mkv").write_bytes(b"left by a killed process")
    assert resumed(folder) == [0, 3] and same(folder.out, whole) and not folder.path.exists()


def test_an_edited_manifest_is_refused(spec: JobSpec) -> None:
    folder = run_until(spec, 1)
    text = folder.manifest.read_text()
    folder.manifest.write_text(text.replace('"seed": 3', '"seed": 4'))
    with pytest.raises(InputError, match="was changed after it was written"):
        resumed(folder)
    folder.manifest.write_text(text[:200])
    with pytest.raises(InputError, match="damaged"):
        resumed(folder)
    folder.manifest.unlink()
    with pytest.raises(InputError, match="no manifest"):
        resumed(folder)
    assert folder.segment(0).exists()
    with pytest.raises(InputError, match="there is no job"):
        JobFolder(folder.path.parent / "other.mp4.tpc").read()


def test_another_job_is_refused_by_name(
    spec: JobSpec, tiny: Path, reference: Path, motion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_until(spec, 1)
    out = Path(spec.outputs.path)
    with pytest.raises(InputError, match="seed was 3, is 5"):
        run_alone(job_spec(tiny, reference, motion, out, codec="ffv1", seed=5))
    with pytest.raises(InputError, match=r"chunk_seconds was 0\.32, is 1\.0"):
        run_alone(job_spec(tiny, reference, motion, out, codec="ffv1", chunk_seconds=1.0))
    with pytest.raises(InputError, match="crf was not set, is 30"):
        run_alone(job_spec(tiny, reference, motion, out, codec="ffv1", crf=30))
    monkeypatch.setattr("tpc_stream.job.fingerprint.package_version", lambda name: "9.9")
    with pytest.raises(InputError, match=r"version of tpc-stream was .*, is 9\.9"):
        resumed(folder)
    assert folder.whole(0)


def test_a_replaced_input_is_refused(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    own = tmp_path / "motion.mp4"
    own.write_bytes(motion.read_bytes())
    folder = run_until(job_spec(tiny, reference, own, tmp_path / "out.mp4"), 1)
    make_video(own, frames=60, rate=25)
    with pytest.raises(InputError, match=r"driving video's size in bytes was .* is .*; driving video's head"):
        resumed(folder)
    own.write_bytes(motion.read_bytes())
    assert resumed(folder) == [1, 2, 3]


def test_two_processes_do_not_share_a_job(spec: JobSpec) -> None:
    folder = run_until(spec, 1)
    with locked(folder.lock, workers=2):
        status = job_status(folder)
        assert status.running and status.frames_per_second is not None
        with pytest.raises(InputError, match=r"process \d+ on .* works on"):
            resumed(folder)
    folder.lock.write_text('{"pid": 1, "host": "gone"}')  # left by a process that was killed
    assert resumed(folder) == [1, 2, 3]


def test_a_full_disk_keeps_what_is_finished(spec: JobSpec, whole: Path) -> None:
    folder = run_until(spec, 2)
    with little_room(4000):
        with pytest.raises(SinkError, match="no space left"):
            run_alone(spec)
    assert folder.whole(0) and folder.whole(1) and not list(folder.path.glob("chunk_00002*"))
    assert resumed(folder) == [2, 3] and same(folder.out, whole)


def test_a_full_disk_while_joining_keeps_the_segments(spec: JobSpec, whole: Path) -> None:
    folder = run_until(spec, 4)
    with little_room(max(folder.segment(number).stat().st_size for number in range(4)) + 1000):
        with pytest.raises(SinkError, match="they are kept, free some space and resume"):
            run_alone(spec)
    assert not folder.out.exists() and resumed(folder) == [] and same(folder.out, whole)


@contextmanager
def little_room(most_bytes: int) -> Iterator[None]:
    """No file grows beyond so many bytes: to whoever writes, it is a disk that fills."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_video_whose_index_lies_is_made_in_one(
    spec: JobSpec, whole: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path, reference: Path, motion: Path
) -> None:
    """Its frames do not come where the index says: the last chunk finds so, and all is made from the start."""
    told = FrameIndex.seconds
    monkeypatch.setattr(FrameIndex, "seconds", lambda self, k: told(self, k) + (Fraction(1, 50) if k > 10 else 0))
    events = run_alone(job_spec(tiny, reference, motion, Path(spec.outputs.path), codec="ffv1"), keep=True)
    assert [type(event) for event in events if isinstance(event, Recut)] == [Recut]
    assert len(pictures(Path(spec.outputs.path))) == 28
    assert "its index says" in job_status(JobFolder.of(spec.outputs.path)).trouble


def test_a_container_without_times_is_made_in_one(tiny: Path, reference: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "old.avi", frames=20, rate=25, codec="mpeg4", b_frames=0)
    spec = job_spec(tiny, reference, video, tmp_path / "out.mp4")
    assert len(spec.chunks) == 1 and "when pictures are shown" in spec.trouble
    run_alone(spec)
    assert len(pictures(tmp_path / "out.mp4")) == 20


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
