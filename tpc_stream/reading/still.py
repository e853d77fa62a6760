"""Still pictures: the reference, one picture held as a film, a film of picture files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError, SourceError
from tpc_stream.frame import Frame
from tpc_stream.reading.container import open_media
from tpc_stream.reading.image_sequence import PictureFile
from tpc_stream.reading.orientation import UPRIGHT, Orientation, orientation_of_file, orientation_of_frame
from tpc_stream.reading.pixels import PixelReader
from tpc_stream.reading.source_info import SourceInfo, SourceOptions, SourceRange, SourceReport, ceil


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A decoded picture and what its file says of it."""

    image: NDArray[np.uint8]
    """HWC RGB uint8 [0, 255], upright."""
    alpha: NDArray[np.uint8] | None
    """HW uint8 [0, 255]; None where the file has none."""
    orientation: Orientation = UPRIGHT
    """What was applied to lay it upright."""
    codec: str = ""
    pixel_format: str = ""


def read_picture(
    path: str | Path, *, options: SourceOptions | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A picture, upright as its EXIF data says, or a video's first frame.

    Returns:
        image HWC RGB uint8 [0, 255], and alpha HW uint8 [0, 255] or None where the file has none.

    Raises SourceError, in one line, if the file cannot be read.
    """
    still = decode_still(str(path), options or SourceOptions())
    return still.image, still.alpha


def decode_still(path: str, options: SourceOptions) -> Still:
    """The file's first picture. Raises SourceError, in one line, if there is none that can be decoded."""
    with open_media(path, options) as media:
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
                    image, alpha = reader.read(frame)
                    return Still(image, alpha, orientation, media.decoder.name, frame.format.name)
        except av.FFmpegError as error:
            raise SourceError(f"{path} is damaged, no picture can be decoded ({error.strerror}): replace it") from error
    raise SourceError(f"{path} has no picture in it: replace it")


def probe_pictures(
    url: str, files: tuple[PictureFile, ...] | None, wanted: SourceRange, options: SourceOptions
) -> SourceInfo:
    """What a sequence (its files), or a single picture (None), is as a source."""
    still = decode_still(url if files is None else str(files[0].path), options)
    rate = Fraction(options.image_rate)
    duration = None if files is None else (files[-1].slot + 1) / rate
    return SourceInfo(
        url=url,
        kind="image" if files is None else "images",
        width=still.image.shape[1],
        height=still.image.shape[0],
        rate=rate,
        variable_rate=files is not None and files[-1].slot + 1 != len(files),
        frame_count_estimate=wanted.count(duration, rate, None if files is None else len(files)),
        duration_seconds=duration,
        origin_seconds=Fraction(0),
        rotation_degrees=still.orientation.rotation_degrees,
        mirrored=still.orientation.mirrored,
        audio_streams=0,
        has_alpha=still.alpha is not None,
        live=False,
        codec=still.codec,
        pixel_format=still.pixel_format,
    )


def picture_frames(
    url: str, files: tuple[PictureFile, ...], wanted: SourceRange, report: SourceReport, options: SourceOptions
) -> Iterator[Frame]:
    """The sequence as frames; a damaged file is counted and leaves a gap, as an absent number does."""
    rate = Fraction(options.image_rate)
    next_slot: int | None = None
    index = 0
    for file in files:
        seconds = file.slot / rate
        if seconds < wanted.start:
            continue
        if index == wanted.max_frames or (wanted.end is not None and seconds >= wanted.end):
            break
        if next_slot is not None and file.slot > next_slot:
            report.frames_missing += file.slot - next_slot
            report.warn(f"{url} lacks {file.slot - next_slot} numbers before {file.path.name}")
        next_slot = file.slot + 1
        try:
            still = decode_still(str(file.path), options)
        except SourceError as error:
            report.corrupt_packets += 1
            report.frames_missing += 1
            report.warn(str(error))
            continue
        yield Frame(index, seconds - wanted.start, still.image, time.perf_counter(), still.alpha)
        report.frames += 1
        index += 1
    if index == 0:
        raise SourceError(f"{url} has no readable picture {wanted}: it holds {len(files)} at {rate} frames a second")


def repeated_picture(url: str, wanted: SourceRange, report: SourceReport, options: SourceOptions) -> Iterator[Frame]:
    """One picture held. Raises InputError if neither an end nor a number of frames is given."""
    rate = Fraction(options.image_rate)
    first = ceil(wanted.start * rate)
    count = wanted.max_frames
    if wanted.end is not None:
        fits = ceil(wanted.end * rate) - first
        count = fits if count is None else min(fits, count)
    if count is None:
        raise InputError(f"{url} is a single picture, which never ends: give an end or a number of frames")
    still = decode_still(url, options)
    for k in range(count):
        seconds = (first + k) / rate - wanted.start
        yield Frame(k, seconds, still.image, time.perf_counter(), still.alpha)
        report.frames += 1
