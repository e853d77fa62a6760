"""A picture as an encoder takes it: one colour matrix, stated, and the same bits on every machine."""

from __future__ import annotations

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray

# Exact arithmetic, so that every machine gives the same bits; chroma from all pixels, not from every other one.
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INP


def encoder_frame(image: NDArray[np.uint8], pixel_format: str) -> av.VideoFrame:
    """HWC RGB uint8 to a frame in the encoder's pixel format; yuv420p as BT.709, limited range."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    if pixel_format != "yuv420p":
        return frame.reformat(format=pixel_format, threads=1)
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=_SCALING,
        threads=1,  # a pool of threads for each frame costs more than it gives, up to 720 lines
    )


def tag_colours(context: VideoCodecContext, pixel_format: str) -> None:
    """Say in the stream what `encoder_frame` makes."""
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    if pixel_format == "yuv420p":
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
