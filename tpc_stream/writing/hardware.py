"""NVENC: which codecs the GPU can encode, with which settings, and whether it does so on this machine.

The options' names and meanings are those of FFmpeg's libavcodec/nvenc.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from tpc_stream.hwaccel import HwAccel, tell_return
from tpc_stream.writing.video_formats import Codec, Encoder

# p4 is NVENC's middle preset; constant quality under a variable rate is its nearest to a constant rate factor
_QUALITY = {"preset": "p4", "rc": "vbr", "b": "0", "forced-idr": "1"}
ENCODERS: Mapping[Codec, Encoder] = {
    "h264": Encoder("h264_nvenc", 20, 51, options=_QUALITY, quality="cq"),
    "hevc": Encoder("hevc_nvenc", 22, 51, options=_QUALITY, quality="cq"),
}
"""Of files. The qualities are near those of the software encoders by their authors' word; not measured here."""
# FFmpeg gives a packet back when `delay` frames are in NVENC; without the option that is three, so that each comes two
# frames late. Ultra-low-latency tuning looks at no frame ahead, and zerolatency reorders none.
_AT_ONCE = {"tune": "ull", "zerolatency": "1", "delay": "0"}
LIVE_ENCODERS: Mapping[Codec, Encoder] = {
    "h264": Encoder("h264_nvenc", 23, 51, options=_QUALITY | _AT_ONCE, quality="cq"),
}
"""Of streams that are sent: no frame is held back."""


def chosen_encoder(
    software: Encoder, codec: Codec, size: tuple[int, int], hwaccel: HwAccel, *, live: bool = False
) -> Encoder:
    """The GPU's encoder where it is wanted and starts for pictures of that size (width, height), else `software`."""
    if hwaccel == "none":
        return software
    encoder = (LIVE_ENCODERS if live else ENCODERS).get(codec)
    if encoder is None:
        tell_return(hwaccel, f"encoding {codec}", f"NVENC is used for {' and '.join(ENCODERS)} alone")
        return software
    fault = fault_of(encoder.name, size, tuple(encoder.options.items()))
    if fault:
        tell_return(hwaccel, f"encoding {codec}", fault)
        return software
    return encoder


@cache
def fault_of(name: str, size: tuple[int, int] = (256, 256), options: tuple[tuple[str, str], ...] = ()) -> str:
    """Why an encoder does not start on this machine with these options; empty where it does."""
    if name not in av.codecs_available:
        return f"PyAV was built without {name}"
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
        context.width, context.height = size
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
        context.options, context.max_b_frames = dict(options), 0
        context.open()
    except (av.FFmpegError, ValueError) as error:
        words = " ".join((getattr(error, "strerror", None) or str(error)).split())
        return f"{name} does not start ({words}): no NVIDIA driver, or a card without NVENC"
    return ""
