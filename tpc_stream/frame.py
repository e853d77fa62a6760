"""What travels: frames, bodies, calibrations, the prepared portrait. Frozen, checked at birth."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError

KEYPOINT_NAMES: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""The 17 keypoints in COCO order."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture on its way through the pipeline."""

    index: int
    """Global frame index, 0 for the first frame of the requested range; never restarts."""
    pts_seconds: Fraction
    """Exact presentation time in the source, seconds; relative to the start of the requested range."""
    image: NDArray[np.uint8]
    """HWC RGB, uint8, [0, 255]."""
    captured_seconds: float
    """time.perf_counter() when the picture was captured, or decoded if it comes from a file."""
    alpha: NDArray[np.uint8] | None = None
    """HW uint8, [0, 255]; None where the source has no alpha channel."""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise InputError(f"a frame's image is HWC RGB uint8, got {self.image.shape = } {self.image.dtype = }")
        if self.alpha is not None and self.alpha.shape != self.image.shape[:2]:
            raise InputError(f"a frame's alpha is HW like its image, got {self.alpha.shape = } {self.image.shape = }")


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One person in one picture."""

    keypoints: NDArray[np.float32]
    """[17, 2] (x, y) in pixels of the picture, COCO order; pixel centres at .5, may lie outside the picture."""
    visibility: NDArray[np.float32]
    """[17] in [0, 1]: how sure the estimator is that the point is seen."""
    silhouette: NDArray[np.uint8]
    """HW uint8, [0, 255]: coverage of the person, same size as the picture."""

    def __post_init__(self) -> None:
        if self.keypoints.shape != (17, 2) or self.visibility.shape != (17,) or self.silhouette.ndim != 2:
            raise InputError(
                f"a body has keypoints [17, 2], visibility [17] and a silhouette HW, got "
                f"{self.keypoints.shape = } {self.visibility.shape = } {self.silhouette.shape = }"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """y = scale * R(angle) x + translation, in pixels: a turn, a size and a shift; never a reflection."""

    scale: float
    angle_radians: float
    """Positive turns x towards y: clockwise on the screen, where y points down."""
    translation_pixels: tuple[float, float]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 3] for column vectors (x, y, 1)."""
        c, s = self.scale * np.cos(self.angle_radians), self.scale * np.sin(self.angle_radians)
        return np.array([[c, -s, self.translation_pixels[0]], [s, c, self.translation_pixels[1]]])

    @property
    def stretch(self) -> float:
        """How much longer a length can become: the scale, the same in all directions."""
        return self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """y = matrix (x, y, 1), in pixels: shear too, and where the points ask for it a reflection.

    Only `--transform affine` makes one, to be compared with a `Similarity`; what it says of scale and angle is the
    nearest similarity's: the one whose matrix differs least, by the sum of squares.
    """

    matrix: NDArray[np.float64]
    """[2, 3] for column vectors (x, y, 1)."""

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 3) or not np.isfinite(self.matrix).all():
            raise InputError(f"an affine transform has a finite matrix [2, 3], got {self.matrix.shape} {self.matrix}")

    @property
    def scale(self) -> float:
        """Of the nearest similarity; 0 for a pure reflection, which none is near."""
        return abs(self._nearest)

    @property
    def angle_radians(self) -> float:
        """Of the nearest similarity; positive turns x towards y."""
        return float(np.angle(self._nearest))

    @property
    def translation_pixels(self) -> tuple[float, float]:
        """Where (0, 0) lands."""
        return float(self.matrix[0, 2]), float(self.matrix[1, 2])

    @property
    def stretch(self) -> float:
        """How much longer a length can become: the larger singular value."""
        return float(np.linalg.norm(self.matrix[:, :2], 2))

    @property
    def _nearest(self) -> complex:
        (a, b, _), (c, d, _) = self.matrix
        return complex(a + d, c - b) / 2


Transform = Similarity | Affine
"""What lays the reference onto a frame's person."""

TransformKind = Literal["procrustes", "linear", "affine"]
"""procrustes: the paper's own, the best similarity over all subsets of the points. linear and affine: what the paper
compares it with (Table 2), see `transforms`."""

IDENTITY = Similarity(scale=1.0, angle_radians=0.0, translation_pixels=(0.0, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The transform that lays the reference person onto one frame's person (paper, section 4.1)."""

    transform: Transform
    subset: int
    """Bit k set: keypoint k took part in the fit. 0 where the transform is held or the identity."""
    iou: float
    """Pixel IoU of the target silhouette and the warped reference silhouette; nan where there is no target."""
    status: str = "fresh"
    """"fresh" (searched on this frame), "held" (the last good one), or "uncalibrated" (the identity)."""
    reason: str = ""
    """Why it is not fresh, in words; empty when it is."""
    search_seconds: float = float("nan")
    """Wall time of this frame's search alone, without the pose; nan where there was nothing to search with."""
    lost: float = 0.0
    """IoU lost to steadying of late, [0, 1]: a running mean of how far fresh frames stay behind their best subset."""

    @property
    def subset_names(self) -> tuple[str, ...]:
        return tuple(name for k, name in enumerate(KEYPOINT_NAMES) if self.subset >> k & 1)


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """The reference, prepared once: the person of this picture makes the motion."""

    image: NDArray[np.uint8]
    """HWC RGB, uint8, [0, 255]; at the analysis size, which all frames share."""
    mask: NDArray[np.uint8]
    """HW uint8, [0, 255]: coverage of the person."""
    body: Body
    notes: tuple[str, ...] = field(default=())
    """What a user should know, such as "the person is turned by +55 degrees"."""

    def __post_init__(self) -> None:
        if self.mask.shape != self.image.shape[:2]:
            raise InputError(f"a portrait's mask is HW like its image, got {self.mask.shape = } {self.image.shape = }")


@dataclass(frozen=True, slots=True, eq=False)
class PosedFrame:
    """A frame with the person found in it; body is None where nobody was found."""

    frame: Frame
    body: Body | None


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedFrame:
    """A frame, its person, and how the reference is laid onto it."""

    frame: Frame
    body: Body | None
    calibration: Calibration


@dataclass(frozen=True, slots=True, eq=False)
class AnimatedFrame:
    """What leaves the pipeline: the person of the reference in the driving frame's pose."""

    index: int
    pts_seconds: Fraction
    image: NDArray[np.uint8]
    """HWC RGB, uint8, [0, 255], at the output size."""
    captured_seconds: float
    source: CalibratedFrame
