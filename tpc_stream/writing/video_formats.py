"""Which containers and codecs a video can be written in, and how each one is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tpc_stream.errors import SinkError

Codec = Literal["h264", "hevc", "vp9", "av1", "ffv1"]

_FRAGMENTS = {
    # A fragment is complete in itself, so a file that is cut off plays up to its last fragment. frag_discont with no
    # edit list keeps a first time stamp other than zero (sound that starts late) where it is.
    "movflags": "+frag_keyframe+empty_moov+default_base_moof+frag_discont",
    "use_editlist": "0",
}


@dataclass(frozen=True, slots=True)
class Container:
    """One file format, chosen by the suffix of the path."""

    format: str
    """The muxer's name in FFmpeg."""
    codecs: tuple[Codec, ...]
    """The video codecs that players accept in it."""
    sound_codec: str
    """FFmpeg's encoder for sound that cannot be copied into it."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the muxer."""
    fragmented: bool = False
    """Whether it is written in fragments, which `faststart` can join at the end."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """One video codec and its settings; all of them code without B-frames, so packets leave in the order of pts."""

    name: str
    """FFmpeg's encoder."""
    default_crf: int | None
    """Constant rate factor that looks clean at 256 to 512 pixels; None where the codec is lossless."""
    highest_crf: int
    """The largest (worst) value the encoder takes."""
    pixel_format: str = "yuv420p"
    """yuv420p, or bgr0 where RGB is kept without loss."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the encoder, without crf and thread count; `{threads}` in a value is filled in."""
    quality: str = "crf"
    """What the encoder calls the constant rate factor."""


CONTAINERS: Mapping[str, Container] = {
    ".mp4": Container("mp4", ("h264", "hevc", "vp9", "av1"), "aac", _FRAGMENTS, fragmented=True),
    ".mov": Container("mov", ("h264", "hevc"), "aac", _FRAGMENTS, fragmented=True),
    ".mkv": Container("matroska", ("h264", "hevc", "vp9", "av1", "ffv1"), "libopus", {"cluster_time_limit": "2000"}),
    ".webm": Container("webm", ("vp9", "av1"), "libopus", {"cluster_time_limit": "2000"}),
}
"""By suffix. Matroska and WebM store times in whole milliseconds; MP4 and MOV store them exactly."""

ENCODERS: Mapping[Codec, Encoder] = {
    # veryfast, measured on 90 frames of a real clip, 1 thread: 0.8 ms a frame at 128 pixels, 2.0 at 256, 5.9 at 512,
    # a third of ultrafast's size for 0.3 dB; medium takes 1.6 to 2.7 times as long for no smaller file.
    # with weightp, which is for fades, files of equal frames differed by a few bits in three of four processes at 2
    # threads; without it, and with 1 thread, a process that writes one file gave the same bits each time
    "h264": Encoder("libx264", 18, 51, options={"preset": "veryfast", "forced-idr": "1", "weightp": "none"}),
    "hevc": Encoder(
        "libx265",
        20,
        51,
        options={
            "preset": "superfast",
            "forced-idr": "1",
            "x265-params": "log-level=none:bframes=0:info=0:pools={threads}:frame-threads=1",
        },
    ),
    "vp9": Encoder("libvpx-vp9", 24, 63, options={"b": "0", "deadline": "realtime", "cpu-used": "5", "row-mt": "0"}),
    "av1": Encoder("libsvtav1", 28, 63, options={"preset": "8", "svtav1-params": "lp={threads}"}),
    "ffv1": Encoder("ffv1", None, 0, pixel_format="bgr0", options={"level": "3", "slicecrc": "1"}),
}


def container_of(path: Path) -> Container:
    """The container that the suffix of `path` asks for. Raises SinkError for a suffix that is not known."""
    if (container := CONTAINERS.get(path.suffix.lower())) is None:
        raise SinkError(
            f"cannot tell the video format of {str(path)!r} from its suffix {path.suffix!r}: "
            f"use one of {', '.join(CONTAINERS)}, or a folder (with / at the end) for pictures"
        )
    return container


def check_codec(path: Path, codec: str) -> Encoder:
    """The encoder for `codec` in the container of `path`. Raises SinkError where the two do not go together."""
    codecs = container_of(path).codecs
    for name in codecs:
        if name == codec:
            return ENCODERS[name]
    raise SinkError(f"{path.suffix} files cannot hold {codec!r} video: choose one of {', '.join(codecs)}")
