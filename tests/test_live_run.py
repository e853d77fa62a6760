"""Live runs as a user starts them: the options, the pipe, the summary, and one line for what cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.live_streams import free_port
from tpc_stream.cli import main
from tpc_stream.errors import InputError
from tpc_stream.options import AnimateOptions


def call(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_file_as_a_camera_reports_what_it_dropped(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.mp4"
    code = call(
        "animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--realtime", "--drop", "adaptive",
        "--end", 1, "--no-sheet",
    )  # fmt: skip
    assert code == 0, capfd.readouterr().err
    profile = json.loads(out.with_suffix(".json").read_text())
    flow = profile["context"]["flow"]
    assert (flow["policy"], flow["captured"]) == ("adaptive", 25)
    dropped = sum(last - first + 1 for first, last in flow["dropped"])
    assert profile["counters"].get("frames dropped", 0) == dropped == 25 - profile["frame_count"]
    assert "captured" in {queue["name"] for queue in profile["queues"]}


def test_raw_frames_go_to_the_standard_output(
    tiny: Path,
    reference: Path,
    motion: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "__stdout__", open(1, "wb", closefd=False))
    code = call("animate", "-r", reference, "-m", motion, "-o", "-", "--bundle", tiny, "--max-frames", 6)
    said = capfdbinary.readouterr()
    assert code == 0, said.err
    frames = np.frombuffer(said.out, np.uint8).reshape(-1, 32, 32, 3)
    assert len(frames) == 6 and frames.std() > 1
    assert b"6 frames went to -" in said.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("-o", "ftp://host/x"), "cannot stream to ftp://host/x"),
        (("-o", "none", "--preview", "terminal"), "needs a terminal"),
        (("-m", "screen:left"), "screen:WxH+X+Y"),
        (("-m", "webcam:99"), "no camera at /dev/video99"),
        (("-m", "pipe:cmyk:4x4"), "cmyk"),
        (("--drop", "newest"), "--drop"),
        (("--reconnect-seconds", "-1"), "--reconnect-seconds"),
        (("--capture-size", "640"), "--capture-size is WIDTHxHEIGHT"),
        (("--capture-rate", "0"), "rate must be above zero"),
    ],
)
def test_bad_input_is_one_line(
    changes: tuple[str, ...], words: str, tiny: Path, reference: Path, motion: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments: dict[object, object] = {"-r": reference, "-m": motion, "-o": "a.mp4", "--bundle": tiny}
    arguments |= dict(zip(changes[::2], changes[1::2], strict=True))
    assert call("animate", *(part for pair in arguments.items() for part in pair)) == 2
    said = capfd.readouterr().err
    assert words in said and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert not list(tmp_path.iterdir())


def test_a_stream_that_nobody_sends_is_one_line(tiny: Path, reference: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    assert call("animate", "-r", reference, "-m", url, "-o", "none", "--bundle", tiny) == 2
    assert f"{url} cannot be read (Connection refused)" in capfd.readouterr().err


def test_devices_lists_what_is_here(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("devices") == 0
    assert "camera" in capfd.readouterr().out


def test_options_of_live_runs_are_checked() -> None:
    for bad in ({"drop": "newest"}, {"reconnect_seconds": -1.0}, {"capture_rate": 0.0}, {"capture_size": (0, 4)}):
        with pytest.raises(InputError):
            AnimateOptions(**bad)
    made = AnimateOptions(capture_rate=29.97, capture_size=(640, 480), reconnect_seconds=5).source_options
    assert (made.camera_rate, made.image_rate, made.camera_size) == (made.image_rate, made.camera_rate, (640, 480))
    assert float(made.image_rate) == pytest.approx(29.97) and made.reconnect_seconds == 5
