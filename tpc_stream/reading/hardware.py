"""NVDEC: a video is opened to be decoded by the GPU where it can, and what software does is told."""

from __future__ import annotations

from collections.abc import Callable

import av
import av.container
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from tpc_stream.hwaccel import HwAccel, tell_return

ON_THE_GPU = "cuda"
"""The pixel format of a decoder that decodes there, whatever its frames are copied to."""


def decoded_by(hwaccel: HwAccel, opening: Callable[..., av.container.InputContainer]) -> av.container.InputContainer:
    """Opens with NVDEC where that is wanted and starts, else without; raises what opening without it raises."""
    if hwaccel == "none":
        return opening()
    try:
        container = opening(hwaccel=HWAccel("cuda"))
        for stream in container.streams.video[:1]:
            if stream.codec_context is not None and not stream.codec_context.is_hwaccel:
                tell_return(hwaccel, "decoding", f"NVDEC does not take this {stream.codec_context.name}")
        return container
    except (av.FFmpegError, NotImplementedError) as error:
        # without a driver PyAV says "not permitted", as it does of a file: only the second try tells which it is
        container = opening()
        words = getattr(error, "strerror", None) or str(error)
        tell_return(hwaccel, "decoding", f"NVDEC does not start ({words}): is there an NVIDIA driver?")
        return container


def tell_if_in_software(hwaccel: HwAccel, decoder: VideoCodecContext) -> None:
    """After a first frame: a size or profile that NVDEC does not take is found there, and FFmpeg goes on by itself."""
    if decoder.is_hwaccel and decoder.pix_fmt != ON_THE_GPU:
        tell_return(hwaccel, "decoding", f"NVDEC does not take this {decoder.name} of {decoder.pix_fmt}")
