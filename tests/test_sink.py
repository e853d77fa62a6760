"""The video file at the end: every container and codec, times, colours, sound, and how it ends."""

from __future__ import annotations

import errno
import io
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.animated import animated_frame, animated_frames
from tpc_stream.errors import InputError, SinkError, SourceError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.sink import SinkConfig, SinkReport, write_video
from tpc_stream.writing import output_file
from tpc_stream.writing.faststart import join_fragments
from tpc_stream.writing.sound import SoundSource, count_audio_tracks
from tpc_stream.writing.video_file import VideoFile
from tpc_stream.writing.video_formats import CONTAINERS

PAIRS = [(suffix, codec) for suffix, container in CONTAINERS.items() for codec in container.codecs]
COLOURS = ((200, 30, 60), (20, 160, 90), (40, 60, 220), (128, 128, 128))


def run(frames: Iterator[AnimatedFrame], path: Path, **options: object) -> list[AnimatedFrame]:
    return list(write_video(frames, path, **options))


def read_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(video=0)]


def boxes(path: Path) -> list[str]:
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return names


def patches(size: int = 64) -> np.ndarray:
    image = np.zeros((size, size, 3), np.uint8)
    for k, colour in enumerate(COLOURS):
        image[:, k * size // 4 : (k + 1) * size // 4] = colour
    return image


@pytest.mark.parametrize(("suffix", "codec"), PAIRS)
def test_every_pair_keeps_count_times_colours_and_tags(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"out{suffix}"
    frames = [animated_frame(i, Fraction(i, 25), image=patches()) for i in range(30)]
    passed = run(iter(frames), path, config=SinkConfig(codec=codec, frame_rate=Fraction(25)))
    assert passed == frames
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.codec.canonical_name == codec
        assert stream.average_rate == 25
        pictures = list(file.decode(stream))
    assert [picture.pts * picture.time_base for picture in pictures] == [Fraction(i, 25) for i in range(30)]
    lossless = codec == "ffv1"
    if not lossless:
        assert {(p.colorspace, p.color_range, p.color_primaries, p.color_trc) for p in pictures} == {(1, 1, 1, 1)}
        assert pictures[0].format.name == "yuv420p"
    for picture in (pictures[0], pictures[-1]):
        rgb = picture.to_ndarray(format="rgb24").astype(int)
        for k, colour in enumerate(COLOURS):
            assert np.abs(rgb[32, k * 16 + 8] - colour).max() <= (0 if lossless else 4), (k, rgb[32, k * 16 + 8])


def test_the_planes_hold_bt709_in_limited_range(tmp_path: Path) -> None:
    """Checked on the stored Y, Cb and Cr, so that a reader which errs the same way cannot hide it."""
    path = tmp_path / "out.mp4"
    run(iter([animated_frame(i, Fraction(i, 25), image=patches()) for i in range(3)]), path, config=SinkConfig(crf=1))
    with av.open(str(path)) as file:
        planes = next(file.decode(video=0)).to_ndarray(format="yuv420p")
    y, cb, cr = planes[:64], planes[64:80].reshape(32, 32), planes[80:].reshape(32, 32)
    for k, colour in enumerate(COLOURS):
        r, g, b = (value / 255 for value in colour)
        luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
        want = (16 + 219 * luma, 128 + 224 * (b - luma) / 1.8556, 128 + 224 * (r - luma) / 1.5748)
        got = (y[32, k * 16 + 8], cb[16, k * 8 + 4], cr[16, k * 8 + 4])
        assert np.abs(np.subtract(got, want)).max() <= 1.5, (colour, got, want)


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize(
    ("times", "config"),
    [
        ([Fraction(k * 1001, 24000) for k in range(12)], SinkConfig(frame_rate=Fraction(24000, 1001))),
        ([Fraction(n, 15360) for n in (0, 511, 1024, 3000, 3001, 9999)], SinkConfig(time_base=Fraction(1, 15360))),
        ([Fraction(n, 1000) for n in (7, 40, 41, 500)], SinkConfig(time_base=Fraction(1, 1000))),
        ([Fraction(1, 3) + Fraction(k, 30) for k in range(5)], SinkConfig()),
    ],
    ids=["ntsc film", "variable rate", "milliseconds", "late first frame"],
)
def test_times_are_exact(tmp_path: Path, times: list[Fraction], config: SinkConfig, faststart: bool) -> None:
    path = tmp_path / "out.mp4"
    run((animated_frame(i, t) for i, t in enumerate(times)), path, config=replace(config, faststart=faststart))
    assert read_times(path) == times


def test_times_that_do_not_fit_the_clock_are_rounded_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [Fraction(k, 7) for k in range(5)]
    with caplog.at_level(logging.INFO):
        run((animated_frame(i, t) for i, t in enumerate(times)), tmp_path / "out.mp4")
    got = read_times(tmp_path / "out.mp4")
    assert all(abs(a - b) <= Fraction(1, 180_000) for a, b in zip(got, times, strict=True))
    assert sum("rounded to the time base" in record.message for record in caplog.records) == 1


def test_matroska_keeps_milliseconds(tmp_path: Path) -> None:
    run(animated_frames(10), tmp_path / "out.mkv")
    assert read_times(tmp_path / "out.mkv") == [Fraction(round(i * 1000 / 30), 1000) for i in range(10)]


def test_keyframes_come_by_time(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    run(animated_frames(61), path, config=SinkConfig(keyframe_seconds=0.5))
    with av.open(str(path)) as file:
        keys = [p.pts * p.time_base for p in file.demux(video=0) if p.is_keyframe and p.pts is not None]
    assert keys == [Fraction(k, 2) for k in range(5)]


def test_fragments_by_default_and_the_index_first_with_faststart(tmp_path: Path) -> None:
    run(animated_frames(40), tmp_path / "a.mp4", config=SinkConfig(keyframe_seconds=0.5))
    run(animated_frames(40), tmp_path / "b.mp4", config=SinkConfig(keyframe_seconds=0.5, faststart=True))
    assert boxes(tmp_path / "a.mp4")[:4] == ["ftyp", "moov", "moof", "mdat"]
    joined = [name for name in boxes(tmp_path / "b.mp4") if name != "free"]
    assert joined == ["ftyp", "moov", "mdat"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
    assert read_times(tmp_path / "a.mp4") == read_times(tmp_path / "b.mp4")


@pytest.mark.parametrize(("suffix", "codec"), PAIRS)
def test_equal_frames_give_equal_bits(tmp_path: Path, suffix: str, codec: str, beep: Path) -> None:
    config = SinkConfig(codec=codec, faststart=suffix == ".mp4")
    for name in "ab":
        run(animated_frames(40), tmp_path / f"{name}{suffix}", config=config, sound=SoundSource(str(beep)))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_report_tells_what_was_written(tmp_path: Path) -> None:
    reports: list[SinkReport] = []
    run(animated_frames(30), tmp_path / "out.mp4", report=reports.append)
    size = (tmp_path / "out.mp4").stat().st_size
    assert reports == [SinkReport(tmp_path / "out.mp4", 30, Fraction(1), size)]


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_consumer_that_stops_early_leaves_a_finished_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    stage = write_video(animated_frames(100), path, config=SinkConfig(faststart=True))
    for _ in range(23):
        next(stage)
    stage.close()
    assert len(read_times(path)) == 23


@pytest.mark.parametrize("error", [RuntimeError("upstream failed"), KeyboardInterrupt()])
def test_an_error_upstream_leaves_the_frames_so_far(tmp_path: Path, error: BaseException) -> None:
    def broken() -> Iterator[AnimatedFrame]:
        yield from animated_frames(17)
        raise error

    with pytest.raises(type(error)):
        run(broken(), tmp_path / "out.mp4")
    assert len(read_times(tmp_path / "out.mp4")) == 17


def test_an_error_before_the_first_frame_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    def broken() -> Iterator[AnimatedFrame]:
        raise RuntimeError("upstream failed")
        yield

    with pytest.raises(RuntimeError):
        run(broken(), tmp_path / "out.mp4")
    with pytest.raises(SinkError, match="even width and height, got 63x48"):
        run(animated_frames(3, width=63), tmp_path / "out.mp4")
    with pytest.raises(SinkError, match="no frame reached the output"):
        run(iter(()), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.mp4").write_bytes(b"old")
    with pytest.raises(SourceError, match="no sound"):
        silent = tmp_path / "silent.mkv"
        run(animated_frames(3), silent)
        run(animated_frames(3), tmp_path / "old.mp4", sound=SoundSource(str(silent)))
    assert (tmp_path / "old.mp4").read_bytes() == b"old"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_run_leaves_a_file_that_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    code = (
        "import os, signal, sys\n"
        "from tests.animated import animated_frames\n"
        "from tpc_stream.sink import SinkConfig, write_video\n"
        "stage = write_video(animated_frames(100), sys.argv[1], config=SinkConfig(keyframe_seconds=0.5))\n"
        "for frame in stage:\n"
        "    if frame.index == 90: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(read_times(path)) >= 60  # 90 less a fragment and what the encoder looks ahead


def test_a_full_disk_is_told_and_what_is_there_plays(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    code = (
        "import resource, sys\n"
        "from tests.animated import noisy_frames\n"
        "from tpc_stream.errors import SinkError\n"
        "from tpc_stream.sink import SinkConfig, write_video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try: list(write_video(noisy_frames(200), sys.argv[1], config=SinkConfig(keyframe_seconds=0.2)))\n"
        "except SinkError as error: print(error)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True)
    assert done.stdout.startswith(f"no space left for {path} after "), done
    assert done.stdout.count("\n") == 1 and done.stderr == "" and done.returncode == 0
    with av.open(str(path)) as file:
        count = 0
        try:
            for _ in file.decode(video=0):
                count += 1
        except av.FFmpegError:
            pass  # the last fragment is cut off
    assert count >= 6


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to("/dev/full")
    with pytest.raises(SinkError, match=f"no space left .* after 0 frames .{os.strerror(errno.ENOSPC)}"):
        run(animated_frames(20), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from tests.animated import animated_frames
from tpc_stream.errors import SinkError
from tpc_stream.sink import SinkConfig, write_video
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
config = SinkConfig(codec=sys.argv[3], faststart=sys.argv[4] == "True")
try:
    list(write_video(animated_frames(20), sys.argv[1], config=config))
except SinkError as error:
    print(error, *error.__notes__ if hasattr(error, "__notes__") else (), sep="|")
"""


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mkv", "h264"), (".mov", "h264"), (".webm", "vp9")])
def test_a_disk_that_fills_while_the_file_is_closed_is_told(
    tmp_path: Path, suffix: str, codec: str, faststart: bool
) -> None:
    run(animated_frames(20), tmp_path / f"whole{suffix}", config=SinkConfig(codec=codec))
    size = (tmp_path / f"whole{suffix}").stat().st_size
    path = tmp_path / f"out{suffix}"
    for limit, plays in ((size - 20, True), (900 if suffix in (".mp4", ".mov") else 400, False)):
        arguments = [str(path), str(limit), codec, str(faststart)]
        done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"no space left for {path} after "), done
        assert path.exists() == plays, limit
        assert ("nothing that plays was written" in done.stdout) == (not plays)
        path.unlink(missing_ok=True)


def test_a_full_disk_while_fragments_are_joined_leaves_the_fragments(tmp_path: Path) -> None:
    run(animated_frames(20), tmp_path / "a.mp4")
    whole = (tmp_path / "a.mp4").read_bytes()
    with monkeypatch_writes_fail() as failed, pytest.raises(SinkError, match="is complete, but its index could not"):
        join_fragments(tmp_path / "a.mp4")
    assert failed and (tmp_path / "a.mp4").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@contextmanager
def monkeypatch_writes_fail() -> Iterator[list[int]]:
    """Every write of a muxer's file fails as on a full disk."""
    failed: list[int] = []

    class Full(io.FileIO):
        def write(self, data: object) -> int:
            failed.append(1)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_file.io, "FileIO", Full)
        yield failed


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_a_first_frame_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    def fail(*_: object) -> None:
        raise SinkError("the first packet failed")

    monkeypatch.setattr(VideoFile, "_mux", fail)
    with pytest.raises(SinkError, match="the first packet failed") as caught:
        run(animated_frames(1), tmp_path / "out.mkv", config=SinkConfig(codec=codec))
    assert list(tmp_path.iterdir()) == []
    assert "nothing that plays was written" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("faststart", [False, True])
def test_names_with_a_colon(tmp_path: Path, beep: Path, monkeypatch: pytest.MonkeyPatch, faststart: bool) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip12:30.mp4").write_bytes(beep.read_bytes())
    config = SinkConfig(faststart=faststart)
    run(animated_frames(5), Path("out1:2.mp4"), config=config, sound=SoundSource("clip12:30.mp4"))
    with av.open(f"file:{tmp_path}/out1:2.mp4") as file:
        assert len(list(file.decode(video=0))) == 5 and len(file.streams.audio) == 1


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "config", "text"),
    [
        ("out.mp4", SinkConfig(codec="ffv1"), r"\.mp4 files cannot hold 'ffv1' video: choose one of h264, hevc"),
        ("out.webm", SinkConfig(), r"\.webm files cannot hold 'h264'"),
        ("out.avi", SinkConfig(), r"its suffix '\.avi': use one of \.mp4, \.mov, \.mkv, \.webm"),
        ("out.mp4", SinkConfig(crf=52), "h264 takes a crf from 0 .best. to 51, got 52"),
        ("out.mkv", SinkConfig(codec="ffv1", crf=3), "ffv1 is lossless and takes no crf, got 3"),
        ("none/out.mp4", SinkConfig(), "cannot .* none/out.mp4: No such file"),
    ],
)
def test_what_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, config: SinkConfig, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match=text):
        run(animated_frames(3), Path(name), config=config)
    assert list(tmp_path.iterdir()) == []


def test_options_are_checked_before_the_first_frame() -> None:
    with pytest.raises(SinkError, match="cannot hold"):
        write_video(iter(()), "out.mp4", config=SinkConfig(codec="ffv1"))
    with pytest.raises(InputError, match="threads of a sink must be above zero, got 0"):
        SinkConfig(threads=0)


def test_times_that_do_not_grow_and_sizes_that_change_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"times must grow, got 0\.500000 s after 0\.500000 s"):
        run(iter([animated_frame(0, Fraction(1, 2)), animated_frame(1, Fraction(1, 2))]), tmp_path / "a.mp4")
    with pytest.raises(SinkError, match="one size, 64x48; frame 1 has 32x48"):
        run(iter([animated_frame(0, Fraction(0)), animated_frame(1, Fraction(1), width=32)]), tmp_path / "b.mp4")


# --- sound ----------------------------------------------------------------------------------------------------------

RATE, BEEP_SECONDS = 44_100, 1.5


@pytest.fixture(scope="module")
def beep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s of AAC, silent but for 0.1 s of 1 kHz at 1.5 s, beside a little video."""
    path = tmp_path_factory.mktemp("beep") / "beep.mp4"
    samples = np.arange(3 * RATE) / RATE
    loud = (samples >= BEEP_SECONDS) & (samples < BEEP_SECONDS + 0.1)
    wave = (0.5 * np.sin(2 * np.pi * 1000 * samples) * loud).astype(np.float32)
    with av.open(str(path), "w") as file:
        video = file.add_stream("h264", rate=10)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        audio = file.add_stream("aac", rate=RATE, layout="mono")
        for k in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), k, np.uint8))
            file.mux(video.encode(picture))
        for start in range(0, len(wave), 1024):
            block = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
            file.mux(audio.encode(block))
        file.mux(video.encode(None))
        file.mux(audio.encode(None))
    return path


def heard(path: Path) -> tuple[str, float, float, float]:
    """(codec, start, end, time of the beep) of the first audio track, in seconds on the file's clock."""
    with av.open(str(path)) as file:
        track = file.streams.audio[0]
        frames = list(file.decode(track))
        rate = track.codec_context.sample_rate
        codec = track.codec_context.name
    begin = float(frames[0].pts * frames[0].time_base)
    beep_at = next(
        float(frame.pts * frame.time_base) + int(np.argmax(loud)) / rate
        for frame in frames
        if (loud := np.abs(frame.to_ndarray().reshape(-1)) > 0.1).any()
    )
    return codec, begin, float(frames[-1].pts * frames[-1].time_base) + frames[-1].samples / rate, beep_at


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 3), Fraction(6, 5)])
def test_sound_is_cut_and_in_sync(tmp_path: Path, beep: Path, suffix: str, start: Fraction, faststart: bool) -> None:
    path, codec = tmp_path / f"out{suffix}", CONTAINERS[suffix].codecs[0]
    sound = SoundSource(str(beep), start_seconds=start)
    run(animated_frames(60), path, config=SinkConfig(codec=codec, faststart=faststart), sound=sound)
    name, begin, end, at = heard(path)
    assert name == ("opus" if suffix == ".webm" else "aac")
    assert abs(at - (BEEP_SECONDS - float(start))) < (0.003 if start == 0 else 0.005)
    assert 0 <= begin < 0.025 and abs(end - min(2, 3 - float(start))) < 0.03
    assert read_times(path) == pytest.approx([i / 30 for i in range(60)], abs=0.0006)


def test_the_end_of_the_range_ends_the_sound(tmp_path: Path, beep: Path) -> None:
    for suffix, codec in ((".mp4", "h264"), (".webm", "vp9")):
        path = tmp_path / f"out{suffix}"
        sound = SoundSource(str(beep), start_seconds=Fraction(1), end_seconds=Fraction(17, 10))
        run(animated_frames(60), path, config=SinkConfig(codec=codec), sound=sound)
        _, _, end, at = heard(path)
        assert 0.65 < end < 0.725 and abs(at - 0.5) < 0.005


def test_sound_never_outlasts_a_stopped_run(tmp_path: Path, beep: Path) -> None:
    stage = write_video(animated_frames(90), tmp_path / "out.mp4", sound=SoundSource(str(beep)))
    for _ in range(50):
        next(stage)
    stage.close()
    _, _, end, at = heard(tmp_path / "out.mp4")
    assert 50 / 30 - 0.03 < end < 50 / 30 + 0.025 and abs(at - BEEP_SECONDS) < 0.003


def test_recoding_is_told(tmp_path: Path, beep: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(animated_frames(3), tmp_path / "out.webm", config=SinkConfig(codec="vp9"), sound=SoundSource(str(beep)))
    assert "aac sound cannot be copied into webm, it is coded anew as libopus" in caplog.text


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_and_pictures_lie_close_together_in_the_file(tmp_path: Path, beep: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    config = SinkConfig(keyframe_seconds=0.5)
    run(animated_frames(80), path, config=config, sound=SoundSource(str(beep)))
    with av.open(str(path)) as file:
        packets = sorted((p.pos, p.pts * p.time_base) for p in file.demux() if p.pts is not None and p.pos is not None)
    times = [float(time) for _, time in packets]
    assert max(max(times[: k + 1]) - times[k] for k in range(len(times))) < 0.55


def test_a_track_that_is_not_there_is_told(tmp_path: Path, beep: Path) -> None:
    assert count_audio_tracks(str(beep)) == 1
    with pytest.raises(SourceError, match=r"has 1 audio track\(s\), not audio track 1"):
        run(animated_frames(3), tmp_path / "out.mp4", sound=SoundSource(str(beep), track=1))
    with pytest.raises(SourceError, match=r"cannot be read from .*nothing\.mp4"):
        run(animated_frames(3), tmp_path / "out.mp4", sound=SoundSource(str(tmp_path / "nothing.mp4")))
    with pytest.raises(InputError, match="range of the sound is empty"):
        SoundSource("a.mp4", start_seconds=Fraction(2), end_seconds=Fraction(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.samples
def test_real_sound_is_copied_bit_for_bit(tmp_path: Path, shared: Path) -> None:
    video, path = shared / "samples/videos/taichi.mp4", tmp_path / "out.mp4"
    run(animated_frames(60), path, sound=SoundSource(str(video), start_seconds=Fraction(4), end_seconds=Fraction(6)))
    with av.open(str(video)) as file:
        original = {p.pts: bytes(p) for p in file.demux(audio=0) if p.pts is not None}
    with av.open(str(path)) as file:
        copied = [(p.pts, bytes(p)) for p in file.demux(audio=0) if p.pts is not None]
    assert len(copied) == pytest.approx(2 * 44_100 / 1024, abs=1)
    assert all(original[pts + 4 * 44_100] == data for pts, data in copied)
