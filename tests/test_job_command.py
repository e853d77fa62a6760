"""`animate --chunk-seconds`, `resume` and `status` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import walker
from tests.made_job import job_spec, pictures, run_until
from tpc_stream.cli import main
from tpc_stream.job.events import ChunkFinished, Event


@pytest.fixture(autouse=True)
def known_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpc_stream.pipeline.prepare_portrait", _person)
    monkeypatch.setattr("tpc_stream.pipeline.estimate_poses", walker.poses)


def _person(*_: object, width: int, height: int, **__: object) -> object:
    return walker.portrait((width, height))


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


def animate(tiny: Path, reference: Path, motion: Path, out: Path, *more: object) -> int:
    return call(
        "animate", "-r", reference, "-m", motion, "-o", out, "--bundle", tiny, "--size", "96x96", "--max-frames", 40,
        "--threads", 1, "--chunk-seconds", 0.64, *more,
    )  # fmt: skip


def test_events_go_to_stdout_and_the_folder_may_stay(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert animate(tiny, reference, motion, out, "--progress", "json", "--keep-job") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in told if event["event"] != "frames"] == [
        "started", "chunk", "chunk", "chunk", "joining", "finished",
    ]  # fmt: skip
    assert told[-1]["frames"] == 40 and len(pictures(out)) == 40
    assert call("status", f"{out}.tpc") == 0
    assert "3/3 chunks, 40/40 frames" in capsys.readouterr().out


def test_status_and_resume_of_an_interrupted_job(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = run_until(job_spec(tiny, reference, motion, tmp_path / "out.mp4"), 2)
    monkeypatch.chdir("/")
    assert call("status", folder.path) == 0
    told = capsys.readouterr().out
    assert "2/4 chunks, 16/28 frames" in told and "nobody works on it" in told
    assert call("resume", folder.path) == 0
    assert "28 frames in 4 chunks, 2 of them made before" in capsys.readouterr().err
    assert len(pictures(folder.out)) == 28 and not folder.path.exists()
    assert call("status", folder.path) == 2
    assert "there is no job" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def interrupted(*_: object) -> Iterator[Event]:
        yield ChunkFinished(0, 16, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr("tpc_stream.job.run_job.make_alone", interrupted)
    assert animate(tiny, reference, motion, tmp_path / "out.mp4") == 130
    assert f"tpc-stream resume {tmp_path}/out.mp4.tpc" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--schedule", "diagonal"), "chunks need the window schedule"),
        (("--realtime",), "not played in real time"),
    ],
)
def test_what_has_no_chunks_is_told(
    tmp_path: Path,
    reference: Path,
    motion: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    message: str,
) -> None:
    out = tmp_path / "out.mp4"
    assert call("animate", "-r", reference, "-m", motion, "-o", out, "--chunk-seconds", 1, *more) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())
