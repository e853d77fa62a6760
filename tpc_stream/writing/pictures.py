"""The end of the pipeline: frames become numbered PNG files, and pass on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.writing.output_path import picture_pattern
from tpc_stream.writing.whole_file import write_whole


def write_pictures(frames: Iterable[AnimatedFrame], path: str | Path) -> Iterator[AnimatedFrame]:
    """A stage that writes every frame as a PNG, numbered by its index, and passes it on.

    path: a folder with a slash at its end, or a pattern such as out/frame_%05d.png; the folder is made, its parent
    must exist. A picture is written whole or not at all. Raises SinkError where the disk is full.
    """
    pattern = picture_pattern(path)
    return _write(frames, pattern)


def _write(frames: Iterable[AnimatedFrame], pattern: str) -> Iterator[AnimatedFrame]:
    for frame in frames:
        write_png(Path(pattern).with_name(Path(pattern).name % frame.index), frame.image)
        yield frame


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, HWC RGB uint8, or a mask, HW uint8, whole or not at all. Raises SinkError where that fails."""
    done, data = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise SinkError(f"cannot encode {path} as PNG: {image.shape = }")
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, [data.tobytes()])
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error
