"""The user's mask of the reference: read, and refused where it cannot be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import PortraitError, SourceError
from tpc_stream.source import read_picture


def read_mask(path: str | Path, *, width: int, height: int) -> NDArray[np.uint8]:
    """HW uint8, [0, 255]: how bright the picture at `path` is, or where it is a cut-out its transparency.

    `width` x `height` pixels is the reference it belongs to. Errors: PortraitError, which names the file, for one that
    cannot be read, of another size, or without both bright and dark pixels (below 128 is background).
    """
    try:
        image, alpha = read_picture(path)
    except SourceError as error:
        raise PortraitError(f"the mask {path} cannot be read as a picture ({error})") from error
    cut_out = alpha is not None and int(alpha.min()) < 128
    mask = np.asarray(alpha if cut_out else image.max(axis=2), dtype=np.uint8)
    if mask.shape != (height, width):
        raise PortraitError(
            f"the mask {path} is {mask.shape[1]}x{mask.shape[0]}, the reference {width}x{height}; "
            f"give one of the reference's size"
        )
    if int(mask.max()) < 128:
        raise PortraitError(
            f"the mask {path} shows nobody, all of it is below 128; give one that is bright on the person"
        )
    if int(mask.min()) >= 128:
        raise PortraitError(
            f"the mask {path} shows the whole picture, none of it is below 128; "
            f"give one that is dark outside the person"
        )
    return mask
