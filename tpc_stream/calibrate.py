"""The stage that lays the reference onto every frame's person, and what it does when a frame shows no transform."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import get_args

from tpc_stream.errors import InputError
from tpc_stream.frame import (
    IDENTITY,
    Body,
    CalibratedFrame,
    Calibration,
    Portrait,
    PosedFrame,
    Similarity,
    Transform,
    TransformKind,
)
from tpc_stream.procrustes import SearchConfig, Searcher, common_points
from tpc_stream.silhouettes import TargetSilhouette
from tpc_stream.steady import Previous
from tpc_stream.transforms import Comparison


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How to calibrate, and how long to trust the past."""

    search: SearchConfig = field(default_factory=SearchConfig)
    hold_seconds: float = 0.5
    """How long after a frame's own transform it may stand in for a frame that has none; by pts, the end included."""
    minimum_iou: float = 0.0
    """A transform whose IoU is not above this is no answer, [0, 1)."""
    transform: TransformKind = "procrustes"
    """procrustes is the paper's own; linear and affine (see `transforms`) are for comparison."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.hold_seconds) and self.hold_seconds >= 0):
            raise InputError(f"hold_seconds is 0 or more, got {self.hold_seconds = }")
        if not 0 <= self.minimum_iou < 1:
            raise InputError(f"minimum_iou is in [0, 1), got {self.minimum_iou = }")
        if self.transform not in get_args(TransformKind):
            raise InputError(f"transform is one of {', '.join(get_args(TransformKind))}, got {self.transform!r}")


@dataclass(slots=True)
class CalibrationReport:
    """What became of the frames so far; the stage writes it as it goes, others read it."""

    frames: Counter[str] = field(default_factory=Counter)
    """Frames by status: fresh, held, uncalibrated."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Frames that were not fresh, by kind of reason: no person, few common points, ..."""
    iou_sum: float = 0.0
    """Sum of the IoU of fresh frames."""

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the fresh frames; nan before the first."""
        return self.iou_sum / self.frames["fresh"] if self.frames["fresh"] else math.nan


def calibrate(
    posed: Iterable[PosedFrame],
    portrait: Portrait,
    *,
    config: CalibrationConfig | None = None,
    report: CalibrationReport | None = None,
) -> Iterator[CalibratedFrame]:
    """Search the similarity transform of every frame (paper, section 4.1), one out for each one in.

    A frame without an answer (no person, an empty silhouette, fewer than two common points, only coincident points or
    scales out of range, no overlap) holds the last good transform for `hold_seconds`, then takes the identity: its
    status and reason say so. Each search is steadied by the transform of the frame before (see `steady`), and by none
    after a frame without an answer. Frames and portrait share the analysis canvas. No frame makes it raise.
    """
    config = config or CalibrationConfig()
    report = report if report is not None else CalibrationReport()
    searcher = Searcher(portrait.body.keypoints, portrait.body.visibility, portrait.mask, config=config.search)
    hold = Fraction(config.hold_seconds).limit_denominator(1_000_000)  # 0.3 means 3/10: pts are exact
    other: Comparison | None = None
    if config.transform != "procrustes":
        other = Comparison(replace(portrait.body, silhouette=portrait.mask), searcher, config.transform)
    good: tuple[Fraction, Transform] | None = None
    last: tuple[Fraction, Calibration] | None = None
    for item in posed:
        pts = item.frame.pts_seconds
        if config.search.steady.forgets(item.frame.index):
            last = None
        previous = None if last is None else _previous(last[1], seconds=float(pts - last[0]))
        began = time.perf_counter()
        answer = _search(searcher, item.body, config.minimum_iou, other, previous)
        seconds = time.perf_counter() - began if item.body is not None else math.nan
        if isinstance(answer, Calibration):
            calibration, good = replace(answer, search_seconds=seconds), (pts, answer.transform)
            report.iou_sum += answer.iou
            last = (pts, answer)
        else:
            last = None
            kind, detail = answer
            report.reasons[kind] += 1
            held = good is not None and pts - good[0] <= hold
            transform = good[1] if good is not None and held else IDENTITY
            iou = _iou(searcher, transform, item.body)
            status = "held" if held else "uncalibrated"
            calibration = Calibration(transform, 0, iou, status, f"{kind}: {detail}" if detail else kind, seconds)
        report.frames[calibration.status] += 1
        yield CalibratedFrame(item.frame, item.body, calibration)


def _previous(calibration: Calibration, *, seconds: float) -> Previous | None:
    transform = calibration.transform
    if not isinstance(transform, Similarity):
        return None
    return Previous(transform, calibration.iou, seconds, calibration.lost)


def _search(
    searcher: Searcher,
    body: Body | None,
    minimum_iou: float,
    other: Comparison | None,
    previous: Previous | None,
) -> Calibration | tuple[str, str]:
    """The frame's own calibration, or the kind of reason why there is none and its detail."""
    if body is None:
        return "no person found", ""
    if _is_empty(body, searcher.config):
        return "the person's silhouette is empty", ""
    if other is not None:
        compared = other.calibration(body)
        if not isinstance(compared, Calibration) or compared.iou > minimum_iou:
            return compared
        return "the silhouettes do not overlap", f"the IoU is {compared.iou:.3f}"
    found = searcher.search(body.keypoints, body.visibility, body.silhouette, previous=previous)
    if found is not None:
        if found.iou > minimum_iou:
            return Calibration(found.transform, found.subset, found.iou, lost=found.lost)
        return "the silhouettes do not overlap", f"the best IoU is {found.iou:.3f}"
    config = searcher.config
    common = common_points(
        searcher.keypoints, searcher.visibility, body.keypoints, body.visibility, threshold=config.visibility
    )
    if len(common) < 2:
        return "fewer than two keypoints visible in both pictures", f"{len(common)}"
    scales = f"{config.minimum_scale:g} to {config.maximum_scale:g}"
    return "no usable transform", f"the {len(common)} common keypoints coincide or give no scale of {scales}"


def _iou(searcher: Searcher, transform: Transform, body: Body | None) -> float:
    if body is None or _is_empty(body, searcher.config):
        return math.nan
    target = TargetSilhouette.of(body.silhouette, threshold=searcher.config.mask_threshold)
    return target.iou(searcher.silhouette, transform)


def _is_empty(body: Body, config: SearchConfig) -> bool:
    return body.silhouette.size == 0 or int(body.silhouette.max()) < config.mask_threshold
