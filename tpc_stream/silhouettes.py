"""Two silhouettes to lay onto each other: the reference's, prepared once, and a frame's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tpc_stream import silhouette_loops as loops
from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.subset_search import MOST_COUNT
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
    """A silhouette in cells: see `silhouette_loops.cover_table`."""

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
    threshold: int
    area: float
    """Pixels."""
    tables: dict[tuple[int, int], LookupTable] = field(default_factory=dict)

    @classmethod
    def of(cls, mask: NDArray[np.uint8], *, threshold: int) -> TargetSilhouette:
        """`mask` HW uint8 [0, 255]; a pixel belongs to the silhouette from `threshold` on."""
        mask = np.ascontiguousarray(mask)
        return cls(mask, threshold, float(loops.count_covered(mask, threshold)))

    def table(self, *, cells: int, samples: int) -> LookupTable:
        """The silhouette with at most `cells` cells along its longer side, none smaller than a pixel.

        Each sample stands for a part of the reference's silhouette, which a good transform makes as large as the same
        share of this one: a cell holds the means over a square of that size.
        """
        if (cells, samples) not in self.tables:
            cell = -(-max(self.mask.shape) // cells)
            radius = max(0, round((math.sqrt(self.area / samples) / cell - 1) / 2))
            full = MOST_COUNT // samples
            flat, width = loops.cover_table(self.mask, self.threshold, cell, radius, full)
            self.tables[cells, samples] = LookupTable(flat, width, cell, radius + 1, full)
        return self.tables[cells, samples]

    def iou(self, reference: ReferenceSilhouette, transform: Similarity) -> float:
        """Pixel IoU with the reference's mask really warped, as `warp.warp` does it; nan where both are empty."""
        height, width = self.mask.shape
        left, top, right, bottom = reference.warper.landing_box(transform, width=width, height=height)
        warped = reference.warper.warp(transform, width=right - left, height=bottom - top, corner=(left, top))
        both = loops.count_overlap(warped, self.mask[top:bottom, left:right], self.threshold)
        union = loops.count_covered(warped, self.threshold) + self.area - both
        return both / union if union else math.nan
