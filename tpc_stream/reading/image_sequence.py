"""The files of an image sequence, in their order: a folder, a numbered pattern, a glob."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path

from tpc_stream.errors import SourceError
from tpc_stream.reading.inputs import is_url

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm"})


@dataclass(frozen=True, slots=True)
class PictureFile:
    """One file of an image sequence."""

    path: Path
    slot: int
    """Its place on the timeline, from 0; numbers that are absent from a numbered sequence leave a gap."""


def find_pictures(url: str) -> tuple[PictureFile, ...] | None:
    """The files of a folder, of a pattern (frame_%04d.png) or of a glob (frame_*.png); None for any other name.

    Raises SourceError if the name means a sequence and no picture is there.
    """
    path = Path(url)
    if path.is_dir():
        found = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES), key=_natural)
        if not found:
            raise SourceError(f"the folder {url} has no pictures in it ({', '.join(sorted(PICTURE_SUFFIXES))})")
        return _in_order(found)
    if path.exists() or is_url(url):
        return None
    if re.search(r"%0?\d*d", path.name):
        return _numbered(path)
    if glob.has_magic(url):
        found = sorted((Path(p) for p in glob.glob(url) if Path(p).is_file()), key=_natural)
        if not found:
            raise SourceError(f"no file fits {url}: check the folder, and quote the name so that the shell leaves it")
        return _in_order(found)
    return None


def _numbered(path: Path) -> tuple[PictureFile, ...]:
    """The files of a printf pattern, by number."""
    before, directive, after = re.split(r"(%0?\d*d)", path.name, maxsplit=1)
    fits = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    numbers: dict[int, Path] = {}
    for entry in path.parent.iterdir() if path.parent.is_dir() else ():
        match = fits.fullmatch(entry.name)
        if match and directive % int(match[1]) == match[1]:
            numbers[int(match[1])] = entry
    if not numbers:
        raise SourceError(f"no file fits {path}: check the folder and the number of digits")
    first = min(numbers)
    return tuple(PictureFile(numbers[n], n - first) for n in sorted(numbers))


def _in_order(paths: list[Path]) -> tuple[PictureFile, ...]:
    return tuple(PictureFile(path, slot) for slot, path in enumerate(paths))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame_2 before frame_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]
