"""The driving motion: a video, a URL, pictures or a camera, as frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from tpc_stream.errors import InputError, SourceError
from tpc_stream.frame import Frame
from tpc_stream.reading.container import Media, open_media
from tpc_stream.reading.container_counts import duration_seconds
from tpc_stream.reading.decoding import decode_range
from tpc_stream.reading.format_watch import FormatWatch
from tpc_stream.reading.image_sequence import find_pictures
from tpc_stream.reading.media_info import info_of, pixel_reader
from tpc_stream.reading.pixels import PixelReader
from tpc_stream.reading.source_info import (
    Seconds,
    SourceInfo,
    SourceKind,
    SourceOptions,
    SourceRange,
    SourceReport,
)
from tpc_stream.reading.still import picture_frames, probe_pictures, read_picture, repeated_picture

__all__ = [
    "Seconds",
    "SourceInfo",
    "SourceKind",
    "SourceOptions",
    "SourceReport",
    "probe",
    "read_frames",
    "read_picture",
]


def probe(
    url: str | Path,
    *,
    start_seconds: Seconds = 0,
    end_seconds: Seconds | None = None,
    max_frames: int | None = None,
    options: SourceOptions | None = None,
) -> SourceInfo:
    """What the source is, from its container and its first frame. The range only shapes frame_count_estimate.

    Raises SourceError, in one line, for whatever cannot be read as pictures; InputError for a bad range.
    """
    options = options or SourceOptions()
    wanted = SourceRange.of(start_seconds, end_seconds, max_frames)
    name = _name(url)
    pictures = find_pictures(name)
    if pictures is not None:
        return probe_pictures(name, pictures, wanted, options)
    with open_media(name, options) as media:
        if media.still:
            return probe_pictures(name, None, wanted, options)
        first = next(decode_range(media, SourceRange(max_frames=1), SourceReport()), None)
        if first is None:
            raise SourceError(f"{name} has no frame that can be decoded: check that the file is complete")
        reader = pixel_reader(media, first.frame)
        image, alpha = reader.read(first.frame)
        return info_of(media, first, image, orientation=reader.orientation, has_alpha=alpha is not None, wanted=wanted)


def read_frames(
    url: str | Path,
    *,
    start_seconds: Seconds = 0,
    end_seconds: Seconds | None = None,
    max_frames: int | None = None,
    report: SourceReport | None = None,
    options: SourceOptions | None = None,
) -> Generator[Frame, None, None]:
    """The source's frames with start_seconds <= time < end_seconds, upright, in RGB.

    Times count from the source's first frame; a frame's pts_seconds from start_seconds. Variable rates keep their
    own times. The source is opened at the first next() and closed at the end, also when the iterator is closed early.

    Raises SourceError if the source cannot be opened or no frame of it falls into the range; what breaks later is
    counted in the report, logged as a warning, and ends the iteration at the worst. InputError for a bad range, or
    for a single picture without an end.
    """
    wanted = SourceRange.of(start_seconds, end_seconds, max_frames)
    return _frames(_name(url), wanted, report if report is not None else SourceReport(), options or SourceOptions())


def _frames(
    name: str, wanted: SourceRange, report: SourceReport, options: SourceOptions
) -> Generator[Frame, None, None]:
    pictures = find_pictures(name)
    if pictures is not None:
        yield from picture_frames(name, pictures, wanted, report, options)
        return
    with open_media(name, options) as media:
        if not media.still:
            yield from _video_frames(media, wanted, report)
            return
    yield from repeated_picture(name, wanted, report, options)


def _video_frames(media: Media, wanted: SourceRange, report: SourceReport) -> Iterator[Frame]:
    reader: PixelReader | None = None
    watch = FormatWatch(media.url, report)
    for index, item in enumerate(decode_range(media, wanted, report)):
        reader = reader or pixel_reader(media, item.frame)
        watch.see(item.frame)
        image, alpha = reader.read(item.frame)
        yield Frame(index, item.seconds, image, item.captured_seconds, alpha)
        report.frames += 1
    if reader is None:
        duration = duration_seconds(media)
        lasts = f"; the source lasts {float(duration):g} s" if duration is not None else ""
        raise SourceError(f"{media.url} has no frame that can be decoded {wanted}{lasts}")


def _name(url: str | Path) -> str:
    """The source's name as FFmpeg takes it. Raises InputError if it is empty."""
    name = str(url)
    if not name:
        raise InputError("the source has no name: give a file, a folder, a URL or a camera")
    return name.removeprefix("file://")
