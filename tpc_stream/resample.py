"""Resizing a picture to the last bit as the Pillow library does, which the systems' encoders were trained with."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError

Filter = Literal["bicubic", "lanczos"]
_PRECISION_BITS = 32 - 8 - 2
"""Weights are whole numbers of 2^-22, so that a sum of 8-bit values fits 32 bits."""


def _bicubic(x: float) -> float:
    """Keys' cubic convolution with a = -0.5."""
    x, a = abs(x), -0.5
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2.0 else 0.0


def _lanczos(x: float) -> float:
    """A sinc under a sinc window of three lobes."""
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(x * math.pi) / (x * math.pi)


_FILTERS: dict[Filter, tuple[Callable[[float], float], float]] = {
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""The kernel and how far it reaches to each side, in samples."""


def resample(image: NDArray[np.uint8], *, width: int, height: int, method: Filter) -> NDArray[np.uint8]:
    """HWC uint8 at width x height, each pass rounded to 8 bits; a shrunk picture is smoothed.

    Rows come first, unless the height loses more than twice what the width does: as in Pillow from version 13 on,
    which is seen in the last bit.

    Errors: InputError for another layout or an empty size.
    """
    if image.ndim != 3 or image.dtype != np.uint8 or min(image.shape) < 1 or width < 1 or height < 1:
        raise InputError(
            f"resampling takes HWC uint8 and a size, got {image.shape = } {image.dtype = } {width}x{height}"
        )
    lost_width, lost_height = image.shape[1] - width, image.shape[0] - height
    columns_first = lost_height > 0 and lost_height > 2 * lost_width
    for axis in (0, 1) if columns_first else (1, 0):
        size = (height, width)[axis]
        if image.shape[axis] != size:
            turned = image.swapaxes(1, axis)
            image = _along_rows(turned, size, method).swapaxes(1, axis)
    return np.ascontiguousarray(image)


def _along_rows(image: NDArray[np.uint8], width: int, method: Filter) -> NDArray[np.uint8]:
    first, weights = _weights(image.shape[1], width, method)
    total = np.full((image.shape[0], width, image.shape[2]), 1 << (_PRECISION_BITS - 1), dtype=np.int64)
    for tap in range(weights.shape[1]):  # a tap past the edge has weight 0
        column = np.minimum(first + tap, image.shape[1] - 1)
        total += image[:, column].astype(np.int64) * weights[:, tap, None]
    return np.asarray(np.clip(total >> _PRECISION_BITS, 0, 255), dtype=np.uint8)


@lru_cache(maxsize=16)
def _weights(size: int, wanted: int, method: Filter) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[wanted] the first sample that counts, and [wanted, taps] whole-numbered weights from there on."""
    kernel, reach = _FILTERS[method]
    scale = size / wanted
    stretch = max(scale, 1.0)
    support = reach * stretch
    first = np.zeros(wanted, dtype=np.int64)
    weights = np.zeros((wanted, math.ceil(support) * 2 + 1), dtype=np.int64)
    for k in range(wanted):
        centre = (k + 0.5) * scale
        begin = max(int(centre - support + 0.5), 0)
        end = min(int(centre + support + 0.5), size)
        row = np.array([kernel((x - centre + 0.5) * (1.0 / stretch)) for x in range(begin, end)])
        total = 0.0
        for value in row:  # one after the other: the sum's rounding shows in the last bit
            total += float(value)
        row = (row / total if total else row) * (1 << _PRECISION_BITS)
        first[k] = begin
        weights[k, : end - begin] = np.trunc(row + np.where(row < 0, -0.5, 0.5)).astype(np.int64)
    return first, weights
