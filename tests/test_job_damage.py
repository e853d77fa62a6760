"""What happens to a job's folder, its disk and its input: told, and nothing that is finished is lost."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import av
import pytest

from tests.made_job import (
    job_spec,
    pictures,
    resumed,
    run_alone,
    run_until,
    same,
)
from tests.media import make_video
from tpc_stream.errors import InputError, SinkError
from tpc_stream.job.events import Recut
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.frame_index import FrameIndex
from tpc_stream.job.messages import Failed
from tpc_stream.job.spec import JobSpec, make_spec
from tpc_stream.job.status import job_status
from tpc_stream.job.worker import work

pytestmark = pytest.mark.usefixtures("someone_known")


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


def test_a_video_that_cannot_be_entered_midway_is_made_in_one_whoever_makes_it(
    tiny: Path, reference: Path, tmp_path: Path
) -> None:
    """Read through, all its frames come; after a seek some do not. Which of both is done must not matter."""
    video = make_video(tmp_path / "disc.vob", frames=60, rate=25, codec="mpeg2video", b_frames=2, gop=20)
    specs = [in_full(job_spec(tiny, reference, video, tmp_path / f"{name}.mkv", codec="ffv1")) for name in "ab"]
    assert len(specs[0].chunks) > 4
    (recut,) = (event for event in run_alone(specs[0]) if isinstance(event, Recut))
    folder = run_until(specs[1], 1)
    assert len(folder.read().chunks) > 4  # not yet
    assert resumed(folder)[-1] == 0
    assert "than when it is read through" in recut.reason and same(tmp_path / "a.mkv", tmp_path / "b.mkv")


def test_a_container_without_times_is_made_in_one(tiny: Path, reference: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "old.avi", frames=20, rate=25, codec="mpeg4", b_frames=0)
    spec = job_spec(tiny, reference, video, tmp_path / "out.mp4")
    assert len(spec.chunks) == 1 and "when pictures are shown" in spec.trouble
    run_alone(spec)
    assert len(pictures(tmp_path / "out.mp4")) == 20


def test_another_bundle_is_refused_and_the_first_goes_on(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny, bundle)
    folder = run_until(job_spec(bundle, reference, motion, tmp_path / "out.mp4"), 3)
    manifest = (bundle / "manifest.toml").read_bytes()
    (bundle / "manifest.toml").write_bytes(manifest + b"# exported again\n")
    with pytest.raises(InputError, match=r"bundle's manifest \(sha256\) was .* is"):
        resumed(folder)
    (bundle / "manifest.toml").write_bytes(manifest)
    assert resumed(folder) == [3]


@pytest.mark.parametrize("what", ["bundle", "version", "input"])
def test_a_worker_that_is_not_like_the_job_is_refused(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It may begin, in place of one that died, hours after the job."""
    bundle, own = tmp_path / "bundle", tmp_path / "motion.mp4"
    shutil.copytree(tiny, bundle)
    shutil.copy(motion, own)
    spec = job_spec(bundle, reference, own, tmp_path / "out.mp4")
    folder = JobFolder.of(spec.outputs.path)
    folder.create(spec)
    if what == "bundle":
        (bundle / "manifest.toml").write_bytes((bundle / "manifest.toml").read_bytes() + b"#\n")
    elif what == "input":
        own.write_bytes(own.read_bytes() + b"\n")
    else:
        monkeypatch.setattr("tpc_stream.job.fingerprint.package_version", lambda name: "9.9")
    told: list[object] = []
    monkeypatch.setattr("signal.signal", lambda *_: None)
    work(cast(Connection, _Pipe(told)), folder.path, 1)
    (failed,) = told
    assert isinstance(failed, Failed) and failed.kind == "InputError"
    named = {"bundle": "bundle's manifest (sha256) was", "version": "is 9.9", "input": "driving video's size"}
    assert "other files or packages than the job" in failed.message and named[what] in failed.message


class _Pipe:
    def __init__(self, told: list[object]) -> None:
        self.send = told.append


@pytest.mark.parametrize(("container", "said"), [("mp4", "it has damaged data"), ("mkv", "fewer than its header")])
def test_a_video_shorter_than_its_header_is_made_in_one(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, container: str, said: str
) -> None:
    """Half of a file, as a download that broke off leaves it."""
    video = copied(motion, tmp_path / f"motion.{container}")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 6])
    spec = in_full(job_spec(tiny, reference, video, tmp_path / "out.mp4"))
    assert len(spec.chunks) == 1 and said in spec.trouble
    run_alone(spec)
    assert 5 < len(pictures(tmp_path / "out.mp4")) < 40


def test_a_video_with_a_hole_is_made_in_one(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    """The index counts frames that cannot be decoded, so that those behind them would come at the wrong times."""
    video = copied(motion, tmp_path / "motion.mp4", frames=50)
    data = bytearray(video.read_bytes())
    data[len(data) // 2 : len(data) * 6 // 10] = bytes(len(data) * 6 // 10 - len(data) // 2)
    video.write_bytes(data)
    spec = in_full(job_spec(tiny, reference, video, tmp_path / "out.mp4"))
    assert len(spec.chunks) > 3 and not spec.trouble
    events = run_alone(spec)
    (recut,) = (event for event in events if isinstance(event, Recut))
    assert "where its index says that frame" in recut.reason or "its index says" in recut.reason
    assert 30 < len(pictures(tmp_path / "out.mp4")) < 50


def copied(motion: Path, path: Path, *, frames: int | None = None) -> Path:
    """The video without its sound, its index at the front."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(motion)) as source, av.open(str(path), "w", options=options) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for count, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and (frames is None or count < frames):
                packet.stream = stream
                copy.mux(packet)
    return path


def in_full(spec: JobSpec) -> JobSpec:
    options = replace(spec.options, max_frames=None)
    return make_spec(spec.reference, spec.motion, spec.outputs, options, chunk_seconds=spec.chunk_seconds)
