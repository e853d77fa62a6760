"""Whether an output can be written where it is asked for, told before anything else runs."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tpc_stream.errors import SinkError
from tpc_stream.writing.video_formats import container_of


def is_picture_sequence(path: str | Path) -> bool:
    """Whether `path` means one PNG a frame: a folder with a slash at its end, or a name with a number such as %05d.

    Any other per cent sign is a part of a video's name (100%.mp4), but in a PNG's it is a number that is misspelt.
    """
    name = Path(path).name
    mistaken = "%" in name and name.lower().endswith(".png")
    return str(path).endswith(os.sep) or re.search(r"%\d*d", name) is not None or mistaken


def picture_pattern(path: str | Path) -> str:
    """The names of a picture sequence, with one % field for the number of the frame.

    A folder gives `FOLDER/frame_%05d.png`. Raises SinkError for a pattern that has no single number or is not PNG.
    """
    pattern = os.path.join(path, "frame_%05d.png") if str(path).endswith(os.sep) else str(path)
    try:
        numbered = Path(pattern).name % 0 != Path(pattern).name % 1
    except (TypeError, ValueError):
        numbered = False
    if not numbered or "%" in str(Path(pattern).parent) or Path(pattern).suffix.lower() != ".png":
        raise SinkError(f"pictures need one number in their file name, as in out/frame_%05d.png, got {pattern!r}")
    return pattern


def check_output(
    path: str | Path, *, overwrite: bool, make_parents: bool = False, inputs: Iterable[str | Path] = ()
) -> None:
    """Raise SinkError unless an output can be written to `path`; leaves nothing behind but folders it was asked for.

    path: a video file, or a picture sequence (see `is_picture_sequence`). overwrite: what exists may be replaced.
    make_parents: create the folder that it lies in. inputs: files, and folders or patterns
    of pictures, that must not be written over; URLs are ignored.
    """
    if is_picture_sequence(path):
        _check_pictures(picture_pattern(path), overwrite=overwrite, make_parents=make_parents, given=str(path))
        _check_no_picture_is_input(picture_pattern(path), inputs)
        return
    path = Path(path)
    if path.is_dir():
        raise SinkError(f"{path} is a folder: name a file in it, or end it with / to write one picture a frame")
    container_of(path)
    if path.exists():
        if any(os.path.exists(given) and os.path.samefile(given, path) for given in inputs):
            raise SinkError(f"{path} is also an input and would be destroyed: choose another output")
        if not path.is_file():
            raise SinkError(f"{path} is not a regular file: choose another output")
        if not overwrite:
            raise SinkError(f"{path} exists: choose another name, or allow it with --overwrite")
        if not os.access(path, os.W_OK):
            raise SinkError(f"{path} exists and is write-protected: choose another name, or change its permissions")
    _check_folder(path.parent, make_parents=make_parents)


def _check_pictures(pattern: str, *, overwrite: bool, make_parents: bool, given: str) -> None:
    folder = Path(pattern).parent
    # A sequence of its own folder makes that folder; what lies above it is as for any other file.
    if given.endswith(os.sep) and not folder.exists():
        _check_folder(folder.parent, make_parents=make_parents)
        return
    _check_folder(folder, make_parents=make_parents)
    first = Path(pattern % 0)
    if first.exists() and not overwrite:
        raise SinkError(f"{first} exists: choose another folder or name, or allow it with --overwrite")


def _check_no_picture_is_input(pattern: str, inputs: Iterable[str | Path]) -> None:
    """SinkError where an input is the folder of the pictures, or one of them, or a pattern or glob that takes some."""
    folder, name = Path(pattern).parent, Path(pattern).name
    before, after = (re.escape(part.replace("%%", "%")) for part in re.split(r"%[-+ #.\d]*[a-zA-Z]", name, maxsplit=1))
    written = re.compile(f"{before}[0-9]+{after}")
    for given in map(Path, inputs):
        names = [given.name]
        if _same(given.parent, folder) and any(sign in given.name for sign in "%*?"):
            names += [path.name for path in folder.glob(re.sub(r"%\d*d", "*", given.name))]
        is_picture = _same(given.parent, folder) and any(map(written.fullmatch, names))
        if is_picture or (given.is_dir() and _same(given, folder)):
            raise SinkError(f"{given} is also an input and its pictures would be written over: choose another folder")


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and os.path.samefile(one, other)


def _check_folder(folder: Path, *, make_parents: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise SinkError(f"{folder} is not a folder: choose another output")
    if not folder.exists() and not make_parents:
        raise SinkError(f"the folder {folder} does not exist: create it first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Trying is the only sure test: permissions say nothing on a read-only disk, or for root.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SinkError(f"cannot write into the folder {folder}: {error.strerror}") from error
