"""What is kept of each frame's calibration, and what is said of all of them at the end."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

from tpc_stream.calibrate import CalibrationReport
from tpc_stream.frame import CalibratedFrame


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """One frame, as plain numbers and names. What is not known is None."""

    index: int
    """0 for the first frame of the range."""
    pts_seconds: float
    """From the start of the range."""
    iou: float | None
    """[0, 1]: of the target silhouette and the warped reference silhouette; None where there is no target."""
    scale: float
    angle_radians: float
    """Positive turns x towards y: clockwise on the screen."""
    translation_pixels: tuple[float, float]
    """(x, y): where the canvas' corner (0, 0) lands."""
    subset: tuple[str, ...]
    """Names of the keypoints that took part in the fit; empty where the transform is held or the identity."""
    held: bool
    """Whether the last frame's good transform stands in for one of its own."""
    status: str
    """fresh, held or uncalibrated."""
    reason: str
    """Why it is not fresh; empty when it is."""
    search_ms: float | None
    """Wall time of the search alone; None where there was nobody to search with."""

    @classmethod
    def of(cls, frame: CalibratedFrame) -> CalibrationRecord:
        """What the frame's calibration says."""
        calibration = frame.calibration
        transform = calibration.transform
        return cls(
            index=frame.frame.index,
            pts_seconds=float(frame.frame.pts_seconds),
            iou=_known(calibration.iou),
            scale=transform.scale,
            angle_radians=transform.angle_radians,
            translation_pixels=transform.translation_pixels,
            subset=calibration.subset_names,
            held=calibration.status == "held",
            status=calibration.status,
            reason=calibration.reason,
            search_ms=_known(1e3 * calibration.search_seconds),
        )

    def row(self) -> dict[str, Any]:
        """As one JSON object."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    def columns(self) -> dict[str, float | str]:
        """As the columns of a profile, which hold numbers or texts: held is 0 or 1, the names stand in one text."""
        x, y = self.translation_pixels
        return {
            "pts_seconds": self.pts_seconds,
            "iou": math.nan if self.iou is None else self.iou,
            "scale": self.scale,
            "angle_radians": self.angle_radians,
            "translation_x_pixels": x,
            "translation_y_pixels": y,
            "subset": sys.intern(" ".join(self.subset)),
            "held": int(self.held),
            "status": self.status,
            "reason": self.reason,
            "search_ms": math.nan if self.search_ms is None else self.search_ms,
        }


def findings(report: CalibrationReport, *, used: bool = True) -> list[str]:
    """What a user should know of the calibration, in words; nothing where every frame has a transform of its own.

    used: whether the pictures are made with it; without, it is told for what it says of the poses.
    """
    fallen = [f"{count} {name}" for name, count in report.frames.items() if name != "fresh" and count]
    if not fallen:
        return []
    why = ", ".join(f"{reason} ({count})" for reason, count in report.reasons.most_common())
    what = "calibration" if used else "calibration (unused)"
    return [f"{what} of {report.frames.total()} frames: {', '.join(fallen)}: {why}"]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
