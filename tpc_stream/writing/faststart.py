"""Joins a fragmented MP4 or MOV into one whose index stands at the front; nothing is coded anew."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import av

from tpc_stream.errors import SinkError
from tpc_stream.writing.output_file import open_for_muxer
from tpc_stream.writing.video_formats import container_of

_OPTIONS = {
    "movflags": "+faststart",
    "fflags": "+bitexact",
    "avoid_negative_ts": "disabled",
    # Edit lists count in this clock; the default of 1/1000 s would move a track that starts late by up to half of it.
    "movie_timescale": "90000",
}


def join_fragments(path: Path) -> None:
    """Rewrite `path` in place: into a temporary file in the same folder, which then takes its name in one step.

    Raises SinkError where that cannot be done; `path` is then left as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        _copy(path, temporary)
        os.chmod(temporary, path.stat().st_mode)  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    except (av.FFmpegError, OSError) as error:
        raise SinkError(
            f"{path} is complete, but its index could not be moved to the front ({error.strerror}): "
            "free some space or leave out --faststart"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    with (
        av.open(f"file:{source}") as read,
        open_for_muxer(target) as file,
        av.open(file, "w", format=container_of(source).format, container_options=_OPTIONS) as write,
    ):
        streams = {stream.index: write.add_stream_from_template(stream, opaque=True) for stream in read.streams}
        for new, old in zip(streams.values(), read.streams, strict=True):
            new.time_base = old.time_base
            if old.type == "video":
                new.codec_context.codec_tag = old.codec_context.codec_tag  # hvc1 would become hev1
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                write.mux_one(packet)
