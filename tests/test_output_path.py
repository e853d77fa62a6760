"""What is checked of an output before anything runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import AsAUser
from tpc_stream.errors import SinkError
from tpc_stream.writing.output_path import check_output, is_picture_sequence, picture_pattern


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.mp4").write_bytes(b"old")
    Path("folder.mp4").mkdir()
    Path("full").mkdir()
    Path("full/frame_00000.png").write_bytes(b"old")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("none/out.mp4", "the folder none does not exist: create it first"),
        ("old.mp4", "old.mp4 exists: choose another name, or allow it with --overwrite"),
        ("folder.mp4", "folder.mp4 is a folder: name a file in it"),
        ("full", "full is a folder"),
        ("old.mp4/out.mp4", "old.mp4 is not a folder"),
        ("out.gif", r"its suffix '\.gif': use one of \.mp4, \.mov, \.mkv, \.webm, or a folder"),
        ("out", "its suffix ''"),
        ("full/", "full/frame_00000.png exists: choose another folder"),
        ("full/frame_%05d.png", "full/frame_00000.png exists"),
        ("none/deeper/", "the folder none does not exist"),
        ("none/a_%d.png", "the folder none does not exist"),
        ("a_%d.jpg", r"one number in their file name, as in out/frame_%05d.png, got 'a_%d.jpg'"),
        ("a_%d_%d.png", "one number"),
        ("a_%%.png", "one number"),
        ("a_%.png", "one number"),
        ("a_%s", "its suffix ''"),
    ],
)
def test_what_cannot_be_written_is_told_in_one_line(path: str, text: str) -> None:
    before = sorted(Path().rglob("*"))
    with pytest.raises(SinkError, match=text) as caught:
        check_output(path, overwrite=False)
    assert "\n" not in str(caught.value)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("path", ["out.mp4", "OUT.MKV", "a.b.webm", "100%.mp4", "pictures/", "full/b_%03d.png"])
def test_what_can_be_written_passes_and_leaves_nothing(path: str) -> None:
    before = sorted(Path().rglob("*"))
    check_output(path, overwrite=False)
    assert sorted(Path().rglob("*")) == before


def test_overwriting_must_be_allowed() -> None:
    for path in ("old.mp4", "full/"):
        check_output(path, overwrite=True)
    assert Path("old.mp4").read_bytes() == b"old"


def test_missing_folders_are_made_when_asked() -> None:
    check_output("a/b/out.mp4", overwrite=False, make_parents=True)
    assert Path("a/b").is_dir() and list(Path("a/b").iterdir()) == []


def test_an_input_is_never_the_output() -> None:
    Path("link.mp4").symlink_to("old.mp4")
    for path in ("old.mp4", "./old.mp4", "link.mp4"):
        with pytest.raises(SinkError, match="is also an input and would be destroyed"):
            check_output(path, overwrite=True, inputs=["rtsp://camera/1", "old.mp4"])


@pytest.mark.parametrize("given", ["full", "full/.", "full/frame_00000.png", "full/frame_%05d.png", "full/*.png"])
@pytest.mark.parametrize("path", ["full/", "full/frame_%05d.png", "full/../full/frame_%d.png"])
def test_driving_pictures_are_never_written_over(path: str, given: str) -> None:
    with pytest.raises(SinkError, match="is also an input and its pictures would be written over"):
        check_output(path, overwrite=True, inputs=["rtsp://camera/1", given])


@pytest.mark.parametrize("given", ["full/me.png", "full/frame_a.png", "frame_00000.png", "full/seq_%05d.png", "."])
def test_inputs_beside_the_pictures_stay_allowed(given: str) -> None:
    Path("full/seq_00000.png").write_bytes(b"driving")
    check_output("full/", overwrite=True, inputs=[given])


def test_a_folder_that_takes_no_files_is_told() -> None:
    with pytest.raises(SinkError, match="cannot write into the folder /proc/self: "):
        check_output("/proc/self/out.mp4", overwrite=False)


def test_protected_files_and_folders_are_told(as_a_user: AsAUser) -> None:
    with as_a_user():
        Path("old.mp4").write_bytes(b"old")
        Path("full").mkdir()
        Path("old.mp4").chmod(0o444)
        with pytest.raises(SinkError, match="write-protected"):
            check_output("old.mp4", overwrite=True)
        Path("full").chmod(0o555)
        with pytest.raises(SinkError, match="cannot write into the folder full: Permission denied"):
            check_output("full/out.mp4", overwrite=False)


def test_special_files_are_refused() -> None:
    os.mkfifo("pipe.mp4")
    with pytest.raises(SinkError, match="not a regular file"):
        check_output("pipe.mp4", overwrite=True)


def test_what_means_pictures() -> None:
    assert is_picture_sequence("out/") and is_picture_sequence("out/a_%05d.png")
    assert not is_picture_sequence("100%.mp4") and not is_picture_sequence("100% done.mp4")
    assert is_picture_sequence("100%.png")
    assert not is_picture_sequence("out") and not is_picture_sequence("100%/out.mp4")
    assert picture_pattern("out/") == "out/frame_%05d.png"
    assert picture_pattern("out/a_%03d.png") == "out/a_%03d.png"
