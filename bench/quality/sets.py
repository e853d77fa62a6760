"""What quality is measured on: clips with their truth, and references that match them or do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.fit import FitGeometry
from tpc_stream.frame import Body, Portrait, PosedFrame

Kind = Literal["aligned", "misaligned"]
KINDS: tuple[Kind, ...] = ("aligned", "misaligned")
ANGLE_RADIANS, BOX_IOU = np.pi / 6, 0.7
"""The paper's criteria: misaligned is a turn of more than this, or boxes that overlap less than this."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One reference for a clip."""

    name: str
    """What was done to it, such as "turned"; figures are also told by it."""
    portrait: Portrait
    kinds: tuple[Kind, ...]
    """Of each frame of the clip."""


@dataclass(frozen=True, slots=True, eq=False)
class TestClip:
    """A driving clip of a person, which is also the truth: the same person in the same clothes as the references."""

    __test__ = False  # no class of tests

    name: str
    frames: tuple[PosedFrame, ...]
    """On the analysis canvas."""
    truths: NDArray[np.uint8]
    """[N, H, W, 3] RGB at the output size."""
    mattes: NDArray[np.uint8]
    """[N, H, W] coverage of the person at the output size."""
    flow: NDArray[np.float32] | None
    """[N - 1, H, W, 2] (x, y) pixels of the output size from each frame to the next; nan where not known."""
    cases: tuple[Case, ...]


def box(silhouette: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom (end excluded) of the pixels that are more than half covered; zeros for nobody."""
    rows, columns = (np.flatnonzero((silhouette > 127).any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom); 0 where one is empty."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0


def kind_of(angle_radians: float, overlap: float) -> Kind:
    """By the paper's criteria; angle in any turn, overlap the boxes' IoU."""
    turned = abs((angle_radians + np.pi) % (2 * np.pi) - np.pi)
    return "misaligned" if turned > ANGLE_RADIANS or overlap < BOX_IOU else "aligned"


@dataclass(frozen=True, slots=True)
class Sizes:
    """(width, height) in pixels of a bundle's analysis canvas and of its output."""

    canvas: tuple[int, int]
    output: tuple[int, int]

    def on_canvas(self, image: NDArray[np.uint8], keypoints: NDArray[np.floating], mask: NDArray[np.uint8]) -> Body:
        """A picture's person where `fit` lays the picture; keypoints [17, 2] pixels, visible where they lie in it."""
        height, width = image.shape[:2]
        fit = self._fit(width, height)
        seen = ((keypoints > 0) & (keypoints < (width, height))).all(1).astype(np.float32)
        return Body(fit.to_canvas(keypoints).astype(np.float32), seen, self.mask(mask))

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """On the canvas."""
        return self._fit(image.shape[1], image.shape[0]).apply(image)

    def mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """On the canvas; nobody stands in the padding."""
        fit = self._fit(mask.shape[1], mask.shape[0])
        laid, out = fit.apply(mask), np.zeros(self.canvas[::-1], np.uint8)
        out[fit.inside] = laid[fit.inside]
        return out

    def flow(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        """[h, w, 2] pixels of a source picture, as pixels of the output."""
        fit = self._fit(flow.shape[1], flow.shape[0])
        known = (~np.isnan(flow[..., :1])).astype(np.float32)
        laid = fit.apply(np.concatenate([np.nan_to_num(flow), known], -1))
        outside = np.ones(self.canvas[::-1], bool)
        outside[fit.inside] = False
        laid[outside] = 0.0
        small = cv2.resize(laid, self.output, interpolation=cv2.INTER_AREA)
        grow = np.array(fit.scale) * self.output / np.array(self.canvas)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = small[..., :2] / small[..., 2:] * grow
        return np.where(small[..., 2:] > 0.99, moved, np.nan).astype(np.float32)

    def shown(self, canvas_picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture of the canvas at the output size."""
        if canvas_picture.shape[1::-1] == self.output:
            return canvas_picture
        shrinks = self.output[0] < self.canvas[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(canvas_picture, self.output, interpolation=method), np.uint8)

    def _fit(self, width: int, height: int) -> FitGeometry:
        return FitGeometry.of(
            source_width=width, source_height=height, width=self.canvas[0], height=self.canvas[1], mode="pad"
        )
