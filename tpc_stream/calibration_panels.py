"""The panels that explain one frame's calibration: reference, driving frame, silhouettes, calibrated reference."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import CalibratedFrame, Portrait

GROUND, INK, FAINT = (18, 20, 24), (232, 234, 237), (139, 146, 158)
REFERENCE, TARGET, BOTH = (255, 150, 46), (64, 169, 255), (240, 240, 236)
"""Orange is the reference's, blue the driving person's, white what they share: told apart by all kinds of eyes."""
PANELS = ("reference", "driving frame", "silhouettes", "calibrated reference")

_LIMBS = (
    (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
_SHIFT = 4  # OpenCV takes positions in sixteenths of a pixel
_FAR = 2**20
Picture = NDArray[np.uint8]
Points = NDArray[np.float64]


class PanelPainter:
    """Draws the panels of frames of one reference; what stays the same is drawn once."""

    def __init__(self, portrait: Portrait, *, width: int, height: int, visible_from: float = 0.5) -> None:
        """width, height: of a panel, pixels, in the canvas' proportions. visible_from: of the points that are drawn."""
        self.width, self.height, self._visible_from = width, height, visible_from
        self._portrait = portrait
        self._reference = self._sized(portrait.image)
        self._outline(self._reference, self._sized(portrait.mask), REFERENCE)
        self._reference_points = self._on_panel(portrait.body.keypoints)
        self._reference_seen = self._near(self._reference_points) & (portrait.body.visibility >= visible_from)
        self._limbs(self._reference, self._reference_points, self._reference_seen)

    def panels(self, frame: CalibratedFrame, image: Picture, mask: Picture) -> list[Picture]:
        """One HWC RGB uint8 for each of `PANELS`; `image` and `mask` are the calibrated reference on the canvas."""
        target = None if frame.body is None else self._sized(frame.body.silhouette)
        return [
            self._reference_panel(frame),
            self._driving_panel(frame, target),
            self._silhouettes_panel(frame, self._sized(mask), target),
            self._calibrated_panel(image, target),
        ]

    def _reference_panel(self, frame: CalibratedFrame) -> Picture:
        """The reference, its person outlined, the points of the chosen subset filled."""
        panel = self._reference.copy()
        self._dots(panel, self._reference_points, self._reference_seen, frame.calibration.subset, REFERENCE)
        return panel

    def _driving_panel(self, frame: CalibratedFrame, target: Picture | None) -> Picture:
        """The driving frame, its person outlined, the points of the chosen subset filled."""
        panel = self._sized(frame.frame.image)
        if frame.body is not None and target is not None:
            self._outline(panel, target, TARGET)
            points = self._on_panel(frame.body.keypoints)
            seen = self._near(points) & (frame.body.visibility >= self._visible_from)
            self._limbs(panel, points, seen)
            self._dots(panel, points, seen, frame.calibration.subset, TARGET)
        return panel

    def _silhouettes_panel(self, frame: CalibratedFrame, ours: Picture, target: Picture | None) -> Picture:
        """Target blue, warped reference orange, both white; each chosen point of both, and the gap between them."""
        theirs = np.zeros_like(ours) if target is None else target
        panel: Picture = _MIXTURES[(ours & 0xF0) | (theirs >> 4)]
        if frame.body is not None:
            matrix = frame.calibration.transform.matrix
            own = self._portrait.body.keypoints.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
            pairs = zip(self._on_panel(own), self._on_panel(frame.body.keypoints), strict=True)
            for number, (one, other) in enumerate(pairs):
                if frame.calibration.subset >> number & 1:
                    cv2.line(panel, _at(one), _at(other), GROUND, 2, cv2.LINE_AA, _SHIFT)
                    self._dot(panel, other, TARGET, filled=True)
                    self._dot(panel, one, REFERENCE, filled=True)
        return panel

    def _calibrated_panel(self, image: Picture, target: Picture | None) -> Picture:
        """The calibrated reference C_i, and the outline of the person that it is laid onto."""
        panel = self._sized(image)
        if target is not None:
            self._outline(panel, target, TARGET)
        return panel

    def _sized(self, picture: Picture) -> Picture:
        """A copy at the panel's size."""
        if picture.shape[:2] == (self.height, self.width):
            return picture.copy()
        # means over 2 x 2 as often as they fit, then linear: a third of the time of means over broken pixels
        while picture.shape[0] >= 2 * self.height and picture.shape[0] % 2 == picture.shape[1] % 2 == 0:
            half = picture.shape[1] // 2, picture.shape[0] // 2
            picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        how = cv2.INTER_CUBIC if self.height > picture.shape[0] else cv2.INTER_LINEAR
        if picture.shape[0] >= 2 * self.height:
            how = cv2.INTER_AREA
        return np.asarray(cv2.resize(picture, (self.width, self.height), interpolation=how), dtype=np.uint8)

    def _on_panel(self, points: NDArray[np.floating[Any]]) -> Points:
        height, width = self._portrait.mask.shape
        placed: Points = points.astype(np.float64) * (self.width / width, self.height / height)
        return placed

    def _near(self, points: Points) -> NDArray[np.bool_]:
        return np.asarray((np.abs(points) < 4 * max(self.width, self.height)).all(axis=1))

    def _outline(self, panel: Picture, mask: Picture, colour: tuple[int, int, int]) -> None:
        contours, _ = cv2.findContours((mask >= 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panel, contours, -1, colour, 1, cv2.LINE_AA)

    def _limbs(self, panel: Picture, points: Points, seen: NDArray[np.bool_]) -> None:
        for a, b in _LIMBS:
            if seen[a] and seen[b]:
                cv2.line(panel, _at(points[a]), _at(points[b]), BOTH, 1, cv2.LINE_AA, _SHIFT)

    def _dots(
        self, panel: Picture, points: Points, seen: NDArray[np.bool_], subset: int, colour: tuple[int, int, int]
    ) -> None:
        for number in np.flatnonzero(seen).tolist():
            self._dot(panel, points[number], colour, filled=bool(subset >> number & 1))

    def _dot(self, panel: Picture, point: Points, colour: tuple[int, int, int], *, filled: bool) -> None:
        radius = max(2.5, min(self.width, self.height) / (80 if filled else 130))
        size = round(radius * 2**_SHIFT)
        cv2.circle(panel, _at(point), size + (1 << _SHIFT), GROUND, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(panel, _at(point), size, colour if filled else FAINT, -1, cv2.LINE_AA, _SHIFT)


def _at(point: Points) -> tuple[int, int]:
    """In sixteenths of a pixel; OpenCV counts from pixel centres at .0, keypoints from centres at .5."""
    x, y = ((float(value) - 0.5) * 2**_SHIFT for value in point)
    return round(min(max(x, -_FAR), _FAR)), round(min(max(y, -_FAR), _FAR))


def _mixtures() -> Picture:
    """[256, 3] the colour of each mixture of the two silhouettes: reference in the high half of a byte, target low."""
    ours, theirs = (np.mgrid[:16, :16] / 15).reshape(2, 256, 1)
    ground, reference, target, both = (np.array(colour) for colour in (GROUND, REFERENCE, TARGET, BOTH))
    mixed = ground * ((1 - ours) * (1 - theirs)) + reference * (ours * (1 - theirs))
    return np.rint(mixed + target * (theirs * (1 - ours)) + both * (ours * theirs)).astype(np.uint8)


_MIXTURES = _mixtures()
