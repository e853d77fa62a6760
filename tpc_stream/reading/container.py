"""Opening a file, URL or camera with FFmpeg, and saying in one line why it cannot be opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import av.container
import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from tpc_stream.errors import SourceError, TpcStreamError
from tpc_stream.reading.devices import CAMERA_FORMAT, camera_options, camera_path, check_camera
from tpc_stream.reading.hardware import decoded_by
from tpc_stream.reading.inputs import InputKind, is_live_scheme, kind_of
from tpc_stream.reading.pipe import PipeReader, open_pipe, pipe_format
from tpc_stream.reading.screen import SCREEN_FORMAT, screen_options, screen_part
from tpc_stream.reading.source_info import SourceOptions

# FFmpeg renders any text file as a film of a terminal.
_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
# The native VP8 and VP9 decoders drop the alpha layer, the library's keep it.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_RAW_FORMATS = frozenset({"h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "mjpeg"})
_ATTACHED_PICTURE = 0x0400
_ANALYSE_MICROSECONDS = "500000"  # of a live stream, to find its rate; FFmpeg's own 5 s would be lost


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """An open container and the picture stream that is read from it."""

    url: str
    container: av.container.InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    live: bool
    kind: InputKind
    options: SourceOptions

    @property
    def rate(self) -> Fraction | None:
        """Average frames a second as far as the container says."""
        stream = self.stream
        if self.container.format.name in _RAW_FORMATS:  # their average is FFmpeg's invention
            return stream.guessed_rate or None
        return stream.average_rate or stream.guessed_rate or stream.base_rate or None

    @property
    def variable_rate(self) -> bool:
        """A hint: the average and the smallest frame distance disagree."""
        average, base = self.stream.average_rate, self.stream.base_rate
        return bool(average and base and abs(average / base - 1) > Fraction(1, 100))

    @property
    def decoding_times_only(self) -> bool:
        """AVI knows when a packet is decoded, not when its picture is shown: with B-frames its "pts" are wrong."""
        return self.container.format.name == "avi"

    @property
    def still(self) -> bool:
        """One picture in a picture format, not a film."""
        if self.kind == "pipe":
            return False
        return self.container.format.name.endswith("_pipe") or Path(self.url).suffix.lower() in (".avif", ".heic")


@contextmanager
def open_media(
    url: str,
    options: SourceOptions,
    *,
    frame_threads: bool = True,
    again: bool = False,
    opened: Callable[[PipeReader], None] | None = None,
) -> Iterator[Media]:
    """The source, open inside the with block and closed after it. Raises SourceError in one line.

    again: a live source that was open before: its rate is known, so opening does not wait for frames to measure it.
    opened: is given the pipe that is read, before the first read, so that a wait for it can be interrupted.
    """
    kind = kind_of(url)
    live = kind in ("camera", "screen", "pipe") or (kind == "url" and is_live_scheme(url))
    if kind == "camera":
        check_camera(camera_path(url) or url)
    elif kind == "file":
        check_file(url)
    try:
        container = _open(url, options, kind=kind, live=live, again=again, opened=opened)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, TpcStreamError):
            raise
        raise SourceError(explain(error, url, options)) from error
    with container:
        stream = _picture_stream(container, url)
        if kind == "url" and not live:
            live = container.duration is None and stream.frames == 0 and container.size <= 0
        decoder = _decoder(stream)
        decoder.thread_type = "FRAME" if frame_threads and not live and not decoder.is_hwaccel else "SLICE"
        yield Media(url, container, stream, decoder, live, kind, options)


def check_file(url: str) -> None:
    """Raises SourceError unless the name is that of a readable file with something in it."""
    path = Path(url)
    if not path.exists():
        raise SourceError(f"there is no file {url}: check the path")
    if path.is_dir():
        raise SourceError(f"{url} is a folder: name a file in it")
    if not os.access(path, os.R_OK):
        raise SourceError(f"there is no permission to read {url}: change the file's rights or its owner")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{url} is empty (0 bytes): copy or download it again")


def explain(error: Exception, url: str, options: SourceOptions) -> str:
    """The error in one line, with what to do."""
    words = " ".join((getattr(error, "strerror", None) or str(error)).split())
    if isinstance(error, av.error.PermissionError):
        return f"there is no permission to read {url}: change its rights, or join the group that owns it"
    if isinstance(error, av.error.InvalidDataError):
        return f"{url} is not a video or picture that can be read, or its end is cut off ({words}): check the file"
    if isinstance(error, av.error.TimeoutError | av.error.ExitError):
        return f"{url} gave no answer within {options.open_timeout_seconds:g} s: check the address, or wait longer"
    if isinstance(error, av.error.HTTPError | av.error.HTTPClientError):
        return f"the server refuses {url} ({words}): check the address and the rights"
    return f"{url} cannot be read ({words}): check that it exists and that nothing else uses it"


def _open(
    url: str,
    options: SourceOptions,
    *,
    kind: InputKind,
    live: bool,
    again: bool,
    opened: Callable[[PipeReader], None] | None,
) -> av.container.InputContainer:
    if kind == "camera":
        return av.open(camera_path(url) or url, "r", format=CAMERA_FORMAT, options=camera_options(options))
    if kind == "screen":
        part = screen_part(url, options)
        return av.open(part.device, "r", format=SCREEN_FORMAT, options=screen_options(part, options))
    if kind == "pipe":
        pictures, pipe = pipe_format(url, options), open_pipe()
        if opened is not None:
            opened(pipe)
        return av.open(pipe, "r", format=pictures.format, options=pictures.options)
    if kind == "file":
        # Without the protocol's name a colon in a file's name would be taken for one.
        return decoded_by(options.hwaccel, partial(av.open, f"file:{url}", "r"))
    asked, read_timeout = {}, options.read_timeout_seconds
    if live or again:
        # Not "nobuffer": it throws away the pictures that were read to find out what the stream is.
        asked = {"flags": "low_delay", "analyzeduration": _ANALYSE_MICROSECONDS}
        read_timeout = options.stall_seconds
    if again:
        asked["fpsprobesize"] = "0"
        # Of one connection or read; the whole opening may take longer where the server is slow, but answers.
        microseconds = str(round(options.stall_seconds * 1_000_000))
        asked["timeout" if url.startswith("rtsp") else "rw_timeout"] = microseconds
    if url.startswith("rtsp"):
        asked["rtsp_transport"] = "tcp"  # lost datagrams would be broken pictures
    timeout = options.open_timeout_seconds, read_timeout
    return decoded_by(options.hwaccel, partial(av.open, url, "r", options=asked, timeout=timeout))


def _picture_stream(container: av.container.InputContainer, url: str) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition.value & _ATTACHED_PICTURE]
    if container.format.name in _TEXT_FORMATS:
        raise SourceError(f"{url} is a text, not a video or picture: name another file")
    if not streams:
        what = "has sound but no picture" if container.streams.audio else "has no picture in it"
        raise SourceError(f"{url} {what}: name a video")
    if streams[0].codec_context is None:
        raise SourceError(f"{url} has a picture that no decoder here can read: convert it, for example to H.264")
    return streams[0]


def _decoder(stream: VideoStream) -> VideoCodecContext:
    library = _ALPHA_DECODERS.get(stream.codec_context.name)
    if library is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    decoder = cast(VideoCodecContext, CodecContext.create(library, "r"))
    decoder.width, decoder.height = stream.width, stream.height
    decoder.extradata = stream.codec_context.extradata
    return decoder
