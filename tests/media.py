"""Small videos made on the spot, whose frames say in bars of black and white which one they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from tpc_stream.source import read_frames

BITS = 12
DARK, LIGHT = 40, 215
SAMPLE_RATE = 48_000


def bars(index: int, *, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """HWC RGB: the index in 12 upright bars, the highest bit on the left."""
    image = np.full((height, width, 3), DARK, np.uint8)
    for bit in range(BITS):
        if index >> (BITS - 1 - bit) & 1:
            image[:, bit * width // BITS : (bit + 1) * width // BITS] = LIGHT
    return image


def read_bars(image: NDArray[np.uint8]) -> int:
    """The index that the bars tell."""
    width, index = image.shape[1], 0
    for bit in range(BITS):
        centre = (2 * bit + 1) * width // (2 * BITS)
        index = index << 1 | int(image[:, centre - 1 : centre + 2].mean() > (DARK + LIGHT) / 2)
    return index


def make_video(
    path: Path,
    *,
    frames: int = 24,
    width: int = 96,
    height: int = 64,
    rate: Fraction | int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    audio_tracks: int = 0,
    picture: bool = True,
    rotation: int = 0,
    mirror: bool = False,
    times: Sequence[Fraction] | None = None,
    time_base: Fraction | None = None,
    gop: int = 12,
    b_frames: int = 2,
    draw: Callable[[int], NDArray[np.uint8]] | None = None,
    draw_format: str = "rgb24",
    colorspace: int | None = None,
    color_range: int | None = None,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes the video; times (seconds) make its rate variable, rotation (degrees, counter-clockwise) and mirror go
    into its metadata alone."""
    rate = Fraction(rate)
    quick = {"libx264": {"preset": "veryfast"}, "libx265": {"preset": "ultrafast"}}.get(codec, {})
    base = time_base or (Fraction(1, 90_000) if times else 1 / rate)
    draw = draw or (lambda index: bars(index, width=width, height=height))
    with av.open(str(path), "w", options=container_options or {}) as container:
        video = None
        if picture:
            video = container.add_stream(codec, rate=rate, options={**quick, **(codec_options or {})})
            video.width, video.height, video.pix_fmt = width, height, pix_fmt
            video.codec_context.time_base = base
            video.codec_context.gop_size = gop
            if codec in ("libx264", "libx265", "mpeg4"):
                video.codec_context.max_b_frames = b_frames
            if colorspace is not None:
                video.codec_context.colorspace = colorspace
            if color_range is not None:
                video.codec_context.color_range = color_range
            if rotation or mirror:
                video.set_display_rotation(rotation, hflip=mirror)
        audio = [container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") for _ in range(audio_tracks)]
        if video is not None:
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(draw(index), format=draw_format)
                frame = frame.reformat(format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range)
                frame.time_base = base
                frame.pts = round((times[index] if times else index / rate) / base)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        for track in audio:
            for k in range(int(SAMPLE_RATE * frames / rate) // 1024 + 1):
                sound = AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, k * 1024, Fraction(1, SAMPLE_RATE)
                container.mux(track.encode(sound))
            container.mux(track.encode(None))
    return path


def make_picture(path: Path, image: NDArray[np.uint8]) -> Path:
    """Writes HWC RGB or RGBA through FFmpeg's encoder for the suffix."""
    codec = {".png": "png", ".jpg": "mjpeg"}[path.suffix]
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream(codec, rate=1)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuvj444p" if codec == "mjpeg" else "rgba" if image.shape[2] == 4 else "rgb24"
        frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
        container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    return path


def packets_of(path: Path) -> list[tuple[int, int]]:
    """(position in the file, size) of each video packet, in the order of decoding."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size]


def indices(path: Path | str, **options: Any) -> list[int]:
    """What the bars of all frames say, read with read_frames and its options."""
    return [read_bars(frame.image) for frame in read_frames(path, **options)]
