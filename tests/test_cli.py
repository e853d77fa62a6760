"""The command line as a user meets it: real files, the real estimator, a tiny bundle."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media import make_picture, make_video
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.cli import main


class Run:
    """One call of the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> int:
        try:
            main([str(argument) for argument in arguments])
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        captured = self._capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        assert isinstance(code, int)
        return code


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_animate_writes_the_video_its_sheet_profile_and_trace(
    run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.mp4"
    code = run("animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--end", 0.8)
    assert code == 0, run.err
    assert len(frames_of(out)) == 20
    with av.open(str(out)) as container:
        assert container.streams.video[0].width == 32
        assert len(container.streams.audio) == 1
    profile = json.loads(out.with_suffix(".json").read_text())
    assert [row["index"] for row in profile["frames"]] == list(range(20))
    assert all(row["status"] == "fresh" and 0 < row["iou"] <= 1 for row in profile["frames"])
    assert all(row["held"] == 0 and row["search_ms"] > 0 and " " in row["subset"] for row in profile["frames"])
    stages = {stage["name"] for stage in profile["stages"]}
    assert {"source", "fit", "pose", "calibrate", "denoise", "denoise/network", "decode", "encode"} <= stages
    figures = {"p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "count"}
    assert all(figures <= entry.keys() for entry in [profile["end_to_end"], *profile["stages"]])
    assert profile["counters"]["calibration fresh"] == 20
    assert abs(profile["end_to_end"]["unaccounted_share"]) <= 0.02
    walls, rests = ([thread[name] for thread in profile["threads"]] for name in ("wall_ms", "unaccounted_ms"))
    assert min(rests) > -1 and sum(rests) <= 0.02 * sum(walls) + 20  # the shares add up to the wall clock
    assert profile["environment"]["packages"]["numpy"] and profile["frames_dropped"] == 0
    assert "<svg" in out.with_suffix(".html").read_text()
    trace = json.loads(out.with_suffix(".trace.json").read_text())
    assert any(event["ph"] == "X" and event["name"] == "pose" for event in trace["traceEvents"])
    sheet = cv2.imread(str(out.with_suffix(".png")))
    assert sheet is not None and sheet.shape[0] > 400 and sheet.shape[1] > 800
    for text in ("windows of 8 frames", "20 frames in", "frames/s", "Time per frame", f"wrote {out}"):
        assert text in run.err.replace("\n", ""), text


def test_the_profile_goes_where_it_is_told(run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    out, base = tmp_path / "a.mp4", ["-r", reference, "-m", motion, "--bundle", tiny, "--max-frames", 4]
    places = ["--json", tmp_path / "p.json", "--csv", tmp_path / "p.csv", "--html", tmp_path / "p.html"]
    assert run("animate", *base, "-o", out, "--no-report", "--no-sheet", *places) == 0, run.err
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "p.json", "p.csv", "p.html"}
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 5
    out.unlink()
    assert run("animate", *base, "-o", out, *places) == 2
    assert f"{tmp_path / 'p.json'} exists" in run.err and not out.exists()


def test_a_dry_run_says_the_plan_and_writes_nothing(
    run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.mp4"
    assert run("animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--dry-run") == 0, run.err
    assert "structural delay 0.28 s" in run.err and "denoiser passes a frame" in run.err
    assert "frames/s before reading and writing" in run.err and "peak memory" in run.err
    assert "real time" in run.err and not list(tmp_path.iterdir())


def test_the_same_input_and_seed_give_the_same_file(
    run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.mp4"
        call = ("animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--max-frames", 24)
        assert run(*call, "--seed", seed, "--no-sheet", "--no-report") == 0
        assert sorted(tmp_path.glob(f"{name}*")) == [out]
        made.append(out.read_bytes())
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_options_reach_the_run(run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mkv"
    code = run(
        "animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--max-frames", 6, "--no-tpc",
        "--size", "64x64", "--side-by-side", "--no-sound", "--steps", 2, "--guidance", 1.5, "--window", 4,
        "--codec", "hevc", "--crf", 30, "--fit", "crop", "--transform", "affine", "--steady-tolerance", 0.01,
    )  # fmt: skip
    assert code == 0, run.err
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert not container.streams.audio
        assert container.streams.video[0].width > 3 * 64
    profile = json.loads(out.with_suffix(".json").read_text())
    assert profile["counters"]["calibration fresh (unused)"] == 6 and "calibration fresh" not in profile["counters"]
    assert "calibration fresh (unused): 6" in run.err
    notes = profile["context"]
    assert notes["plan"]["denoise"]["tpc"] is False
    assert notes["plan"]["denoise"]["steps"] == 2
    assert notes["options"]["transform"] == "affine" and notes["options"]["steady_tolerance"] == 0.01
    assert notes["plan"]["denoise"]["guidance_scale"] == 1.5
    assert "4.00 denoiser passes a frame" in run.err.replace("\n", " ")


def test_pictures_instead_of_a_video(run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    out = f"{tmp_path}/shots/"
    assert run("animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--max-frames", 3) == 0, run.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "frame_00000.png", "frame_00001.png", "frame_00002.png", "shots", "shots.html", "shots.json", "shots.png",
        "shots.trace.json",
    ]  # fmt: skip
    again = f"{out}/frame_%05d.png"
    assert run("animate", "-r", reference, "-m", again, "-o", tmp_path / "b.mp4", "--bundle", tiny) == 0
    assert len(frames_of(tmp_path / "b.mp4")) == 3


def test_an_error_before_the_first_frame_keeps_what_was_there(
    run: Run, reference: Path, motion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.mp4"
    out.write_bytes(b"mine")
    nan = make_tiny_bundle(tmp_path / "nan", nan=True)
    assert run("animate", "-r", reference, "-m", motion, "-o", out, "--bundle", nan, "--overwrite") == 2
    assert out.read_bytes() == b"mine"


BAD_INPUT = {
    "no motion file": (("-m", "nowhere.mp4"), "nowhere.mp4"),
    "no reference file": (("-r", "nowhere.png"), "nowhere.png"),
    "motion is text": (("-m", "text.mp4"), "text.mp4"),
    "motion is sound only": (("-m", "sound.mp4"), "sound.mp4"),
    "reference is text": (("-r", "text.png"), "text.png"),
    "reference without a person": (("-r", "blank.png"), "blank.png"),
    "no such mask": (("--reference-mask", "nowhere.png"), "nowhere.png"),
    "folder does not exist": (("-o", "nowhere/a.mp4"), "nowhere"),
    "output exists": (("-o", "already.mp4"), "--overwrite"),
    "sheet exists": (("-o", "sheeted.mp4"), "sheeted.png exists"),
    "output is the motion": (("-m", "there.mp4", "-o", "there.mp4", "--overwrite"), "there.mp4"),
    "unknown container": (("-o", "a.xyz"), ".xyz"),
    "codec and container": (("-o", "a.webm", "--codec", "h264"), "webm"),
    "no such bundle": (("--bundle", "nobody"), "no bundle 'nobody'"),
    "no such backend": (("--backend", "abacus"), "abacus"),
    "wrong size": (("--size", "32"), "512x512"),
    "odd size": (("--size", "33x32"), "even"),
    "stretched size": (("--size", "64x32"), "--size 64x64"),
    "unknown option": (("--colour", "red"), "No such option"),
    "steps below one": (("--steps", 0), "--steps"),
    "guidance is no number": (("--guidance", "nan"), "guidance_scale"),
    "mask of another size": (("--reference-mask", "blank.png"), "blank.png is 128x128, the reference"),
    "mask would be overwritten": (
        ("--reference-mask", "sheeted.png", "-o", "sheeted.mp4", "--overwrite"),
        "also an input",
    ),
    "groups and group size": (("--groups", 2, "--group-size", 4), "not both"),
    "window cuts a group": (("--window", 7, "--group-size", 4), "--window 8"),
    "empty range": (("--start", 2, "--end", 1), "not after its start"),
    "range behind the end": (("--start", 99), "there.mp4"),
    "no such track": (("--audio-track", 5), "track"),
    "NaN": (("--bundle", "nan"), "NaN"),
    "changed bundle": (("--bundle", "changed"), "sha256"),
    "missing graph": (("--bundle", "missing"), "denoise.onnx"),
    "wrong shape": (("--bundle", "misshapen"), "the graph keypoints: float32[F, 17, 3]"),
    "crf out of range": (("--crf", 99), "99"),
}


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory: pytest.TempPathFactory, tiny: Path, motion: Path) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("no video")
    (folder / "text.png").write_text("no picture")
    make_video(folder / "sound.mp4", picture=False, audio_tracks=1)
    make_picture(folder / "blank.png", np.full((128, 128, 3), 90, np.uint8))
    (folder / "there.mp4").write_bytes(motion.read_bytes())
    (folder / "already.mp4").write_bytes(b"mine")
    (folder / "sheeted.png").write_bytes(b"mine")
    make_tiny_bundle(folder / "nan", nan=True)
    with (make_tiny_bundle(folder / "changed") / "decode.onnx").open("ab") as file:
        file.write(b"\0")
    (make_tiny_bundle(folder / "missing") / "denoise.onnx").unlink()
    manifest = make_tiny_bundle(folder / "misshapen") / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('shape = ["F", 17, 3]', 'shape = ["F", 18, 3]'))
    return folder


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing(
    case: str, run: Run, tiny: Path, reference: Path, bad_inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bad_inputs)
    before = {path: path.stat().st_mtime_ns for path in bad_inputs.rglob("*")}
    changes, message = BAD_INPUT[case]
    call: dict[object, object] = {"-r": reference, "-m": "there.mp4", "-o": "a.mp4", "--bundle": tiny}
    flags = [option for option in changes if option == "--overwrite"]
    pairs = [option for option in changes if option != "--overwrite"]
    call |= dict(zip(pairs[::2], pairs[1::2], strict=True))
    code = run("animate", *(part for pair in call.items() for part in pair), "--max-frames", 8, *flags)
    assert code == 2, run.err
    errors = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0], run.err
    assert "Traceback" not in run.err
    assert {path: path.stat().st_mtime_ns for path in bad_inputs.rglob("*")} == before


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_range_behind_the_end_is_told_before_the_plan(
    more: tuple[str, ...], run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.mp4"
    assert run("animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--start", 99, *more) == 2
    assert "no frame that can be decoded from 99 s to its end; the source lasts 5 s" in run.err
    assert "denoiser passes" not in run.out + run.err


def test_verbose_adds_the_traceback(run: Run, reference: Path, tmp_path: Path) -> None:
    call = ("animate", "-r", reference, "-m", tmp_path / "nowhere.mp4", "-o", tmp_path / "a.mp4")
    assert run("-v", *call) == 2
    assert "Traceback" in run.err
    assert run(*call) == 2
    assert "Traceback" not in run.err


@pytest.mark.parametrize("arguments", [("dance",), ("animate",), ("animate", "-r", "a.png"), ("inspect",)])
def test_unknown_options_are_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 2
    assert run.err.startswith("error: ") and len(run.err.splitlines()) == 1


def test_help_and_version(run: Run) -> None:
    assert run() == 0
    assert "animate" in run.out and "doctor" in run.out
    assert run("--version") == 0
    assert run.out.startswith("tpc-stream 0.")
    assert run("animate", "--help") == 0
    assert "tpc-stream animate --reference me.png" in run.out


def test_a_cut_off_video_is_animated_up_to_the_cut(
    run: Run, tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.mkv"
    with av.open(str(motion)) as source, av.open(str(whole), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    out = tmp_path / "a.mp4"
    assert run("animate", "-r", reference, "-m", cut, "-o", out, "--bundle", tiny, "--no-sheet") == 0
    assert 10 < len(frames_of(out)) < 125
    text = run.err.replace("\n", " ")
    assert "missing" in text or "lost" in text or "cut" in text, run.err


def test_frames_without_a_person_do_not_stop_the_stream(run: Run, tiny: Path, reference: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "bars.mp4", frames=30, rate=25)
    out = tmp_path / "a.mp4"
    assert run("animate", "-r", reference, "-m", video, "-o", out, "--bundle", tiny) == 0
    assert len(frames_of(out)) == 30
    rows = json.loads(out.with_suffix(".json").read_text())["frames"]
    assert {row["status"] for row in rows} == {"uncalibrated"}
    assert "no person found (30)" in run.err.replace("\n", " ")


def test_a_full_disk_is_one_line_and_leaves_nothing(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mkv"
    command = [
        sys.executable, "-m", "tpc_stream", "animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny,
        "--no-sheet", "--no-report", "--codec", "ffv1", "--size", "512x512",
    ]  # fmt: skip

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, preexec_fn=little_room)
    assert done.returncode == 2, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.stderr
    assert not out.exists()


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_closes_the_file_and_says_what_was_done(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.mp4"
    command = [
        sys.executable, "-m", "tpc_stream", "animate", "-r", reference, "-m", reference, "--end", "600", "-o", out,
        "--bundle", tiny,
    ]  # fmt: skip
    # shells start what they put into the background deaf to Ctrl-C, and children inherit that
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c)
    limit = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size > 2000) and time.monotonic() < limit:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted after" in err
    assert "Traceback" not in err
    assert len(frames_of(out)) >= 1
    assert out.with_suffix(".json").is_file()


def test_inspect_says_what_things_are(run: Run, tiny: Path, motion: Path, tmp_path: Path) -> None:
    assert run("inspect", tiny) == 0
    assert "calibrated_index" in run.out and "bundle tiny" in run.out
    assert run("inspect", motion) == 0
    assert "25.000 frames/s" in run.out
    (tmp_path / "p.json").write_text("{}")
    assert run("inspect", tmp_path / "p.json") == 2
    assert "no profile of tpc-stream" in run.err


def test_doctor_finds_the_default_path_well(run: Run) -> None:
    assert run("doctor") == 0, run.out
    assert "the default path works" in run.out
