"""How hard the subset search works, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.steady import SteadyConfig

MOST_SAMPLES = 2048


@dataclass(frozen=True, slots=True)
class Round:
    """One estimate of the IoU of many subsets."""

    subsets: int | None
    """The best so many of the round before; None for all there are, up to 131,054."""
    samples: int
    """Points of the reference's silhouette: a multiple of 4, up to 2048."""
    cells: int
    """Cells along the longer side of the target's silhouette; no cell is smaller than a pixel."""

    def __post_init__(self) -> None:
        if not 4 <= self.samples <= MOST_SAMPLES or self.samples % 4:
            raise InputError(f"samples are a multiple of 4 from 4 to {MOST_SAMPLES}, got {self.samples = }")
        if self.cells < 1 or (self.subsets is not None and self.subsets < 1):
            raise InputError(f"a round has at least one subset and one cell, got {self}")


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How hard to search: on the official sample 0.0006 IoU short of 15 times the work, 0.0017 in the worst frame."""

    visibility: float = 0.5
    """A point is visible from this visibility on, in [0, 1]; it is common if it is visible in both pictures."""
    minimum_scale: float = 1 / 8
    maximum_scale: float = 8.0
    mask_threshold: int = 128
    """A pixel belongs to a silhouette from this coverage on, [1, 255]: half of it."""
    rounds: tuple[Round, ...] = (Round(None, 32, 64), Round(1536, 256, 256), Round(64, 2048, 256))
    """Ever fewer subsets, estimated ever better; the first round scores them all."""
    exact_subsets: int = 2
    """Best subsets of the last round whose silhouette is really warped; where the answer is steadied also so many of
    the best steadied ones, and so in each round."""
    steady: SteadyConfig = field(default_factory=SteadyConfig)

    def __post_init__(self) -> None:
        if not 0 < self.minimum_scale <= self.maximum_scale:
            raise InputError(f"scales are 0 < minimum <= maximum, got {self.minimum_scale = } {self.maximum_scale = }")
        if not 1 <= self.mask_threshold <= 255:
            raise InputError(f"mask_threshold is 1 to 255, got {self.mask_threshold = }")
        if [r.subsets is None for r in self.rounds] != [True] + [False] * (len(self.rounds) - 1):
            raise InputError(f"the first round scores all subsets (None), and no other does, got {self.rounds}")
        if self.exact_subsets < 1:
            raise InputError(f"at least one subset is measured, got {self.exact_subsets = }")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best subset's transform."""

    transform: Similarity
    subset: int
    """Bit k set: keypoint k took part in the fit."""
    iou: float
    """Pixel IoU of the two silhouettes under `transform`, exact, [0, 1]."""
    common: int
    """Points visible in both pictures."""
    lost: float = 0.0
    """IoU lost to steadying of late, [0, 1]: for the next frame's `Previous`."""
