"""The stage that lays the reference onto every frame's person, and what it does when a frame shows no transform."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from tpc_stream.errors import InputError
from tpc_stream.frame import IDENTITY, Body, CalibratedFrame, Calibration, Portrait, PosedFrame, Similarity
from tpc_stream.procrustes import SearchConfig, common_points, mask_iou, search
from tpc_stream.warp import Warper


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How to calibrate, and how long to trust the past."""

    search: SearchConfig = field(default_factory=SearchConfig)
    hold_seconds: float = 0.5
    """How long after a frame's own transform it may stand in for a frame that has none; by pts, the end included."""
    minimum_iou: float = 0.0
    """A transform whose IoU is not above this is no answer, [0, 1)."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.hold_seconds) and self.hold_seconds >= 0):
            raise InputError(f"hold_seconds is 0 or more, got {self.hold_seconds = }")
        if not 0 <= self.minimum_iou < 1:
            raise InputError(f"minimum_iou is in [0, 1), got {self.minimum_iou = }")


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
    status and reason say so. Frames and portrait share the analysis canvas. No frame makes it raise.
    """
    config = config or CalibrationConfig()
    report = report if report is not None else CalibrationReport()
    warper = Warper.of(portrait.mask, (0,))
    good: tuple[Fraction, Similarity] | None = None
    for item in posed:
        answer = _search(item.body, portrait, config)
        pts = item.frame.pts_seconds
        if isinstance(answer, Calibration):
            calibration, good = answer, (pts, answer.transform)
            report.iou_sum += answer.iou
        else:
            kind, detail = answer
            report.reasons[kind] += 1
            held = good is not None and pts - good[0] <= config.hold_seconds
            transform = good[1] if good is not None and held else IDENTITY
            iou = _iou(warper, transform, item.body, config.search.mask_threshold)
            status = "held" if held else "uncalibrated"
            calibration = Calibration(transform, 0, iou, status, f"{kind}: {detail}" if detail else kind)
        report.frames[calibration.status] += 1
        yield CalibratedFrame(item.frame, item.body, calibration)


def _search(body: Body | None, portrait: Portrait, config: CalibrationConfig) -> Calibration | tuple[str, str]:
    """The frame's own calibration, or the kind of reason why there is none and its detail."""
    if body is None:
        return "no person found", ""
    if body.silhouette.size == 0 or body.silhouette.max() < config.search.mask_threshold:
        return "the person's silhouette is empty", ""
    own = portrait.body
    common = common_points(
        own.keypoints, own.visibility, body.keypoints, body.visibility, threshold=config.search.visibility
    )
    if len(common) < 2:
        return "fewer than two keypoints visible in both pictures", f"{len(common)}"
    found = search(
        own.keypoints, own.visibility, portrait.mask, body.keypoints, body.visibility, body.silhouette,
        config=config.search,
    )  # fmt: skip
    if found is None:
        limits = f"{config.search.minimum_scale:g} to {config.search.maximum_scale:g}"
        return "no usable transform", f"the {len(common)} common keypoints coincide or give no scale in {limits}"
    if not found.iou > config.minimum_iou:
        return "the silhouettes do not overlap", f"the best IoU is {found.iou:.3f}"
    return Calibration(found.transform, found.subset, found.iou)


def _iou(warper: Warper, transform: Similarity, body: Body | None, threshold: int) -> float:
    if body is None or body.silhouette.size == 0 or body.silhouette.max() < threshold:
        return math.nan
    height, width = body.silhouette.shape
    return mask_iou(warper.warp(transform, width=width, height=height), body.silhouette, threshold=threshold)
