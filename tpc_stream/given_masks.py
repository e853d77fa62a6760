"""Silhouettes of the driving frames from files: NNN.png by the frame's index, instead of the estimator's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import SourceError
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.source import read_picture


@dataclass(frozen=True, slots=True)
class GivenMasks:
    """A folder of masks, listed once."""

    folder: Path
    files: dict[int, Path]

    @classmethod
    def of(cls, folder: str | Path) -> GivenMasks:
        """Lists the PNGs whose names are numbers, with any zeros before: 7.png, 007.png. Raises SourceError."""
        folder = Path(folder)
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder of masks: give one that holds 000.png, 001.png, ...")
        files: dict[int, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() == ".png" and path.stem.isascii() and path.stem.isdigit():
                other = files.setdefault(int(path.stem), path)
                if other != path:
                    raise SourceError(f"{other} and {path} are both the mask of frame {int(path.stem)}: remove one")
        if not files:
            raise SourceError(f"{folder} holds no mask: their names are frame numbers, such as 000.png")
        return cls(folder, files)

    def read(self, index: int, *, width: int, height: int) -> NDArray[np.uint8]:
        """The mask of frame `index`, HW uint8 [0, 255]: how bright the picture is, or of a cut-out its transparency.

        Raises SourceError where there is none of that size.
        """
        path = self.files.get(index)
        if path is None:
            missing = self.folder / f"{index:03d}.png"
            raise SourceError(f"{missing} is missing: every frame needs its mask, or leave --target-masks out")
        image, alpha = read_picture(path)
        mask = alpha if alpha is not None and int(alpha.min()) < 128 else image.max(axis=2)
        if mask.shape != (height, width):
            size = f"{mask.shape[1]}x{mask.shape[0]}"
            raise SourceError(f"{path} is {size}, its frame {width}x{height}: give a mask of the frame's size")
        return np.asarray(mask, dtype=np.uint8)


def with_masks(frames: Iterable[Frame], masks: GivenMasks) -> Iterator[Frame]:
    """A stage before the fit: every frame with its mask as alpha, so that the fit places both alike."""
    for frame in frames:
        height, width = frame.image.shape[:2]
        yield replace(frame, alpha=masks.read(frame.index, width=width, height=height))


def with_given_silhouettes(posed: Iterable[PosedFrame]) -> Iterator[PosedFrame]:
    """A stage after the pose: the mask that came with the frame in the place of the estimated silhouette.

    Where nobody was found there are no keypoints either, and the mask alone helps nothing.
    """
    for item in posed:
        if item.body is None or item.frame.alpha is None:
            yield item
        else:
            yield replace(item, body=replace(item.body, silhouette=item.frame.alpha))
