"""Raw frames to a pipe: --out -, as bare pixels or as Y4M, which says its size and rate itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import get_args

import av
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.writing.destination import RawFormat
from tpc_stream.writing.steady import DeliveryReport, SteadySlots

RAW_FORMATS: tuple[RawFormat, ...] = get_args(RawFormat)


def write_raw(
    frames: Iterable[AnimatedFrame],
    descriptor: int,
    *,
    format: RawFormat = "rgb24",
    rate: Fraction,
    report: DeliveryReport | None = None,
) -> Iterator[AnimatedFrame]:
    """A stage that writes every frame to an open descriptor and passes it on.

    Pixels carry no times, so the pictures have the constant `rate`: a frame is repeated where others are missing, and
    left out where two fall on the same slot, which the report counts. rgb24 and bgr24: HWC uint8, nothing else.
    y4m: 4:4:4, BT.601 limited range, as that format's readers take it.

    Raises SinkError for an unknown format, and where the reader has gone.
    """
    if format not in RAW_FORMATS:
        raise SinkError(f"raw frames come in {', '.join(RAW_FORMATS)}, got {format!r}")
    return _write(frames, descriptor, format, rate, report or DeliveryReport())


def _write(
    frames: Iterable[AnimatedFrame], descriptor: int, format: RawFormat, rate: Fraction, report: DeliveryReport
) -> Iterator[AnimatedFrame]:
    slots = SteadySlots(rate, report)
    pack, data, size = _PACK[format], b"", None
    for frame in frames:
        again, shown = slots.place(frame.index, frame.pts_seconds)
        height, width = frame.image.shape[:2]
        if size is None and format == "y4m":
            head = f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C444\n"
            _put(descriptor, head.encode("ascii"), frame.index)
        if size not in (None, (width, height)):
            raise SinkError(f"all raw frames have one size, {size}; frame {frame.index} has {(width, height)}")
        size = (width, height)
        for _ in range(again):
            _put(descriptor, data, frame.index)
        if shown:
            data = pack(frame.image)
            _put(descriptor, data, frame.index)
        yield frame


def _put(descriptor: int, data: bytes, frames: int) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError as error:
        raise SinkError(f"whoever reads the pipe has gone after {frames} frames: look there for the reason") from error
    except OSError as error:
        raise SinkError(f"cannot write to the pipe after {frames} frames: {error.strerror}") from error


def _bgr(image: NDArray[np.uint8]) -> bytes:
    return np.ascontiguousarray(image[..., ::-1]).tobytes()


def _rgb(image: NDArray[np.uint8]) -> bytes:
    return np.ascontiguousarray(image).tobytes()


def _y4m(image: NDArray[np.uint8]) -> bytes:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = frame.reformat(format="yuv444p", threads=1)
    return b"FRAME\n" + frame.to_ndarray().tobytes()


_PACK: dict[RawFormat, Callable[[NDArray[np.uint8]], bytes]] = {"rgb24": _rgb, "bgr24": _bgr, "y4m": _y4m}
