"""Still pictures: one file, or the files of an image sequence in their order."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from tpc_stream.container import is_url, open_media
from tpc_stream.errors import SourceError
from tpc_stream.orientation import orientation_of_file, orientation_of_frame
from tpc_stream.pixels import PixelReader
from tpc_stream.source_info import SourceOptions

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


def read_picture(
    path: str | Path, *, options: SourceOptions | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A picture, upright as its EXIF data says, or a video's first frame.

    Returns:
        image HWC RGB uint8 [0, 255], and alpha HW uint8 [0, 255] or None where the file has none.

    Raises SourceError, in one line, if the file cannot be read.
    """
    options = options or SourceOptions()
    with open_media(str(path), options) as media:
        data = b""
        try:
            for packet in media.container.demux(media.stream):
                data = data or bytes(packet)
                for frame in media.decoder.decode(packet):
                    orientation = (orientation_of_file(data) if media.still else None) or orientation_of_frame(frame)
                    reader = PixelReader(
                        codec=media.decoder.name,
                        orientation=orientation,
                        pixel_aspect=None if media.still else media.stream.sample_aspect_ratio,
                    )
                    return reader.read(frame)
        except av.FFmpegError as error:
            raise SourceError(f"{path} is damaged and has no readable picture ({error.strerror}): replace it") from error
    raise SourceError(f"{path} has no picture in it: replace it")


def _numbered(path: Path) -> tuple[PictureFile, ...]:
    """The files of a printf pattern, by number."""
    before, directive, after = re.split(r"(%0?\d*d)", path.name, maxsplit=1)
    fits = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    numbers: dict[int, Path] = {}
    for entry in sorted(path.parent.iterdir()) if path.parent.is_dir() else ():
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
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]
