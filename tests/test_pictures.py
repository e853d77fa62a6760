"""Numbered PNG files at the end of the pipeline."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.animated import animated_frame, animated_frames
from tpc_stream.errors import SinkError
from tpc_stream.writing.pictures import write_pictures, write_png


def test_pictures_are_numbered_by_index_and_lossless(tmp_path: Path) -> None:
    frames = [animated_frame(i, Fraction(i, 30), width=63, height=47) for i in (0, 1, 7)]
    assert list(write_pictures(frames, f"{tmp_path}/out/")) == frames
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"frame_0000{i}.png" for i in (0, 1, 7)]
    for frame in frames:
        read = cv2.imread(str(tmp_path / f"out/frame_{frame.index:05d}.png"))
        assert np.array_equal(read[..., ::-1], frame.image)


def test_a_pattern_names_the_pictures(tmp_path: Path) -> None:
    list(write_pictures(animated_frames(2), tmp_path / "a%02d.png"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a00.png", "a01.png"]


def test_a_bad_pattern_is_told_before_the_first_frame() -> None:
    with pytest.raises(SinkError, match="one number"):
        write_pictures(iter(()), "out.png")


def test_what_cannot_be_written_whole_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/full")
    with pytest.raises(SinkError, match=r"cannot write .*a\.png: No space left on device"):
        write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SinkError, match=r"cannot write .*folder\.png: Is a directory$"):
        write_png(tmp_path / "folder.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(SinkError, match="No such file"):
        write_png(tmp_path / "none/deeper/a.png", np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_where_a_picture_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else SinkError):
        write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_a_picture_keeps_the_link_and_the_rights_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "real.png").chmod(0o640)
    (tmp_path / "a.png").symlink_to("real.png")
    write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    assert (tmp_path / "a.png").is_symlink() and cv2.imread(str(tmp_path / "real.png")) is not None
    assert (tmp_path / "real.png").stat().st_mode & 0o777 == 0o640
