"""Two silhouettes to lay onto each other: the reference's, prepared once, and a frame's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream import silhouette_loops as loops
from tpc_stream.errors import InputError
from tpc_stream.exact_overlap import count_warped, pack_quads
from tpc_stream.frame import Transform
from tpc_stream.subset_search import MOST_COUNT, SHIFT
from tpc_stream.warp import Warper


def mask_iou(first: NDArray[np.uint8], second: NDArray[np.uint8], *, threshold: int = 128) -> float:
    """Pixel IoU of two masks HW uint8 of one size, [0, 1]; nan where both are empty."""
    if first.shape != second.shape:
        raise InputError(f"two masks to compare have one size, got {first.shape} {second.shape}")
    both = loops.count_overlap(first, second, threshold)
    union = loops.count_covered(first, threshold) + loops.count_covered(second, threshold) - both
    return both / union if union else math.nan


DENSE_SAMPLES = 4096
"""Points that stand for the silhouette's pixels while fewer settle."""
SETTLED_SAMPLES = 512
SETTLE_PASSES = 8


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceSilhouette:
    """What the search needs of the reference's mask, and what the warp of each frame shares."""

    warper: Warper
    samples: dict[int, NDArray[np.float64]]
    """For each number K of samples, [2, K] (x, y) in pixels: points that share the silhouette evenly."""
    area: float
    """Pixels."""
    quads: dict[int, NDArray[np.int32]] = field(default_factory=dict)
    """For each number of halvings, the mask packed to be warped; made when asked for."""

    def backwards(
        self, transform: Transform
    ) -> tuple[NDArray[np.int32], tuple[float, float, float, float], NDArray[np.float64]]:
        """What `exact_overlap.count_warped` takes: the mask, its box, and the way back to it."""
        level, small, to_canvas = self.warper.prepared(transform)
        if level not in self.quads:
            self.quads[level] = pack_quads(small)
        left, top, right, bottom = self.warper.box
        across, down = small.shape[1] / self.warper.levels[0].shape[1], small.shape[0] / self.warper.levels[0].shape[0]
        box = (left * across - 1, top * down - 1, right * across + 1, bottom * down + 1)
        back: NDArray[np.float64] = np.asarray(cv2.invertAffineTransform(to_canvas), dtype=np.float64)
        return self.quads[level], box, back

    @classmethod
    def of(cls, mask: NDArray[np.uint8], *, counts: tuple[int, ...], threshold: int) -> ReferenceSilhouette:
        """`mask` HW uint8 [0, 255]; a pixel belongs to the silhouette from `threshold` on. `counts` of samples."""
        mask = np.ascontiguousarray(mask)
        dense = loops.sample_mask(mask, threshold, max(DENSE_SAMPLES, *counts))
        samples = {
            # the many need no settling: they are even enough, and it would take longest
            count: loops.settle(dense, count, SETTLE_PASSES) if count <= SETTLED_SAMPLES else dense[:, :count]
            for count in counts
        }
        return cls(
            warper=Warper.of(mask, (0,)),
            samples=samples if dense.shape[1] else dict.fromkeys(counts, dense),
            area=float(loops.count_covered(mask, threshold)),
        )


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A silhouette in cells, each holding means over a square of 2 `ring` - 1 cells around it.

    A cell holds, as shares of `full`, how much of that square lies on the canvas (<< SHIFT) and how much of it in the
    silhouette. The outermost ring is all 0.
    """

    flat: NDArray[np.int32]
    width: int
    """Cells a row."""
    cell_pixels: int
    ring: int
    """Cells before the canvas begins."""
    full: int
    """What a count is where all is covered."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetSilhouette:
    """One frame's silhouette, and its lookup tables, made when asked for."""

    mask: NDArray[np.uint8]
    """0 and 255 only."""
    threshold: int
    area: float
    """Pixels."""
    small: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    tables: dict[tuple[int, int], LookupTable] = field(default_factory=dict)

    @classmethod
    def of(cls, mask: NDArray[np.uint8], *, threshold: int) -> TargetSilhouette:
        """`mask` HW uint8 [0, 255]; a pixel belongs to the silhouette from `threshold` on."""
        binary = np.asarray(cv2.threshold(np.ascontiguousarray(mask), threshold - 1, 255, cv2.THRESH_BINARY)[1])
        return cls(binary.astype(np.uint8, copy=False), threshold, float(cv2.countNonZero(binary)))

    def table(self, *, cells: int, samples: int) -> LookupTable:
        """The silhouette with at most `cells` cells along its longer side, none smaller than a pixel.

        Each sample stands for a part of the reference's silhouette, which a good transform makes as large as the same
        share of this one: a cell holds the means over a square of that size.
        """
        if (cells, samples) not in self.tables:
            cell = -(-max(self.mask.shape) // cells)
            radius = max(0, round((math.sqrt(self.area / samples) / cell - 1) / 2))
            full = MOST_COUNT // samples
            if cell not in self.small:
                self.small[cell] = shrink(self.mask, cell)
            covered = spread(self.small[cell], radius)
            table = canvas_counts(self.mask.shape, cell, radius, full) + (covered * (full / 255) + 0.5).astype(np.int32)
            self.tables[cells, samples] = LookupTable(table.ravel(), table.shape[1], cell, radius + 1, full)
        return self.tables[cells, samples]

    def iou(self, reference: ReferenceSilhouette, transform: Transform) -> float:
        """Pixel IoU with the reference's mask really warped, as `warp.warp` does it; nan where both are empty."""
        quads, box, backwards = reference.backwards(transform)
        covered, both = count_warped(quads, box, backwards, self.mask, self.threshold)
        union = covered + self.area - both
        return both / union if union else math.nan


def shrink(mask: NDArray[np.uint8], cell: int) -> NDArray[np.uint8]:
    """Means over squares of `cell` x `cell` pixels; those that reach beyond the mask find 0 there."""
    height, width = mask.shape
    rows, columns = -(-height // cell), -(-width // cell)
    below, right = rows * cell - height, columns * cell - width
    whole = cv2.copyMakeBorder(mask, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0) if below or right else mask
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA) if cell > 1 else whole
    return np.asarray(small, np.uint8)


def spread(small: NDArray[np.uint8], radius: int) -> NDArray[np.float32]:
    """Means over squares of 2 `radius` + 1 cells, `radius` + 1 rings of cells wider on each side; 0 lies around."""
    ring, size = radius + 1, (2 * radius + 1, 2 * radius + 1)
    wider = cv2.copyMakeBorder(small, ring, ring, ring, ring, cv2.BORDER_CONSTANT, value=0).astype(np.float32)
    return np.asarray(cv2.blur(wider, size, borderType=cv2.BORDER_CONSTANT), np.float32)


@lru_cache(maxsize=32)  # the canvas stays, and the radius changes with the person's size only
def canvas_counts(shape: tuple[int, int], cell: int, radius: int, full: int) -> NDArray[np.int32]:
    """What a table's cells hold of the canvas itself, << SHIFT."""
    inside = spread(shrink(np.full(shape, 255, np.uint8), cell), radius)
    return np.left_shift((inside * (full / 255) + 0.5).astype(np.int32), SHIFT)
