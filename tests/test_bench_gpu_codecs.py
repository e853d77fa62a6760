"""The GPU benchmark's video rows: software is measured, and stands under nobody else's name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.gpu import codecs
from bench.gpu.bars import bars
from bench.gpu.codecs import CODINGS, CYCLE, InSoftware, codec_rows, picture, timed_steps
from bench.gpu.rows import Row
from bench.gpu.sizes import REHEARSAL
from bench.gpu.table import markdown
from tests.with_gpu import skip_with_driver
from tpc_stream.writing import hardware
from tpc_stream.writing.video_formats import ENCODERS

SMALL = replace(REHEARSAL, pixels=96, clip=9)


def rows(folder: Path, *, until: float = float("inf")) -> list[Row]:
    return list(codec_rows(SMALL, folder, process=time.monotonic(), until=until))


def test_the_first_step_is_left_out_and_the_end_is_not() -> None:
    now = 0.0

    def steps() -> Iterator[None]:
        nonlocal now
        for seconds in (5.0, 0.1, 0.2, 0.3):  # opening, then frames
            now += seconds
            yield
        now += 0.4  # what was held back

    found = timed_steps(steps(), [], clock=lambda: now)
    assert found["count"] == 3 and found["p50_ms"] == pytest.approx(200)
    assert found["fps"] == pytest.approx(3 / 1.0)


def test_a_return_to_software_ends_it() -> None:
    returns: list[str] = []

    def steps() -> Iterator[None]:
        yield
        returns.append("no driver")
        yield
        raise AssertionError("it goes on in software")

    with pytest.raises(InSoftware, match="no driver"):
        timed_steps(steps(), returns)


def test_pictures_move_and_begin_again() -> None:
    assert np.array_equal(picture(3, 64), picture(3, 64))
    assert np.array_equal(picture(0, 64), picture(CYCLE, 64))
    changed = (picture(0, 64) != picture(10, 64)).any(axis=-1).mean()
    assert 0.05 < changed < 0.5, "a ground that stays, and something that moves"


def test_software_is_measured_and_the_gpu_is_absent_each_time(tmp_path: Path) -> None:
    skip_with_driver()
    found = rows(tmp_path)
    measured, absent = found[:4], found[4:]
    assert [(row.kind, row.backend) for row in measured] == [("codec", "software")] * 4
    assert [row.what for row in measured] == ["encode h264", "encode hevc", "decode h264", "decode hevc"]
    assert all(row.count == SMALL.clip - 1 and row.fps and row.p99_ms and (row.psnr_db or 0) > 25 for row in measured)
    assert all((row.kilobytes or 0) > 0.1 for row in measured[:2])
    # the product says so once a process, so what it says is not how it is known
    assert [(row.kind, row.backend) for row in absent] == [
        ("absent", by) for by in ("NVENC", "NVENC", "NVDEC", "NVDEC")
    ]
    assert "encode hevc: hevc_nvenc does not start" in absent[1].what
    assert all("decode" in row.what and "NVDEC does not start" in row.what for row in absent[2:])


def test_an_encoder_of_the_gpu_is_measured_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libx264 stands in for NVENC."""
    monkeypatch.setattr(hardware, "fault_of", lambda name, size, options: "")
    monkeypatch.setattr(hardware, "ENCODERS", {"h264": ENCODERS["h264"]})
    monkeypatch.setattr(codecs, "CODINGS", [coding for coding in CODINGS if coding.by == "NVENC"])
    h264, hevc = rows(tmp_path)
    assert (h264.kind, h264.backend, h264.what) == ("codec", "NVENC", "encode h264") and h264.times is not None
    assert hevc.kind == "absent" and hevc.what == "encode hevc: NVENC is used for h264 alone"


def test_without_the_package_its_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "NEEDED", "no_such_package")
    found = rows(tmp_path)
    assert [(row.kind, row.backend) for row in found] == [("absent", by) for by in ("software", "NVENC", "NVDEC")]
    assert all("not installed: no_such_package -> pip install no_such_package" in row.what for row in found)


def test_what_does_not_fit_or_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {row.kind for row in rows(tmp_path, until=0)} == {"left out"}
    (tmp_path / "software-h264.mp4").write_bytes(b"no video at all")
    monkeypatch.setattr(codecs, "CODINGS", [coding for coding in CODINGS if coding.doing == "decode"][:2])
    broken, missing = rows(tmp_path)
    assert broken.kind == "absent" and "is not a video or picture that can be read" in broken.what
    assert missing.kind == "left out"


def test_they_stand_in_the_table_and_in_no_bar() -> None:
    row = Row(kind="codec", backend="NVENC", what="encode h264", fps=400.0, psnr_db=33.0, kilobytes=4.2, peak_gb=0.7,
              p50_ms=2.5, p90_ms=2.6, p99_ms=2.7)  # fmt: skip
    told = {"flops": 7e14, "bytes_per_second": 4e12}
    text = markdown("on a card", told, {}, [row], seconds=1, rehearsal=False)
    assert "| encode h264 | NVENC | 400.0 | 2.50 | 2.60 | 2.70 | 33.0 | 4.2 | 0.7 |" in text
    assert "Video of 512x512" in text and "every 2 ms" in text
    assert all(bar.met is None for bar in bars([row]))
    assert "| video |" not in markdown("on a card", told, {}, [], seconds=1, rehearsal=False)
