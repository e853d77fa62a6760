"""Steadying: of transforms that are nearly as good as the best, the one that moves the reference least."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity

EASE = 1.5
"""Of how often too much has been lost of late, the power by which moving gets cheaper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyConfig:
    """How far a frame's transform may fall behind the best, and what moving costs.

    Moving costs: small differences are not worth a move, large ones are. The defaults are from trials on real clips
    (docs/calibration.md).
    """

    tolerance: float = 0.25
    """Of the last frame's IoU squared, [0, 1): so much IoU less than the best is allowed in any one frame, 0.12 at an
    IoU of 0.7 and 0.06 at 0.5. Squared, because where two shapes agree little the IoU changes little however they are
    laid. 0 is the paper's pure argmax."""
    mean_loss: float = 0.0025
    """IoU, above 0: where more than this has been lost of late, moving costs less, so that on average little is lost
    however restless the motion."""
    mean_loss_seconds: float = 1.0
    """How far back "of late" reaches, above 0: the time constant of a running mean."""
    speed_weight: float = 0.012
    """Of the last frame's IoU squared, seconds: the IoU that it is worth to move slower by one own size per second. By
    speed, so that it means the same at every frame rate. How far the silhouette moves is the root mean square shift
    of its pixels; its size their root mean square distance from their mean."""
    glide_speed: float = 1.0
    """Sizes per second: at this speed the cost is twice what the proportion says, at twice it three times, and so on,
    so that a glide of a few frames is cheaper than one jump."""
    scale_weight: float = 0.22
    """IoU that a change of scale is worth, at (s'^2 - s^2) / (s'^2 + s^2) = 1; a change by 10 % is 0.1 of it. However
    fast: people change their pose and place quickly, their distance slowly. A squat is no step back."""
    restart_frames: int = 0
    """The past is forgotten at each frame whose global index is a multiple of this, so that a stream cut there gives
    the same bits; 0: never."""

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise InputError(f"the tolerance is a share in [0, 1), got {self.tolerance}")
        for name in ("speed_weight", "scale_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is 0 or more, got {value}")
        for name in ("glide_speed", "mean_loss", "mean_loss_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is above 0, got {getattr(self, name)}")
        if self.restart_frames < 0:
            raise InputError(f"restart_frames is 0 or more, got {self.restart_frames}")

    def forgets(self, frame_index: int) -> bool:
        """Whether the frame of that global index is searched as if it were the first."""
        return self.restart_frames > 0 and frame_index % self.restart_frames == 0


@dataclass(frozen=True, slots=True)
class Previous:
    """The answer of the frame before."""

    transform: Similarity
    iou: float
    """Its IoU, [0, 1]."""
    seconds: float
    """How long ago; above 0."""
    lost: float = 0.0
    """IoU lost to steadying of late, [0, 1]: `SearchResult.lost` of that frame."""

    def lost_with(self, loss: float, *, config: SteadyConfig) -> float:
        """What is lost of late once a frame has lost `loss` of its best IoU, [0, 1]."""
        share = -math.expm1(-self.seconds / config.mean_loss_seconds)
        return self.lost + share * (loss - self.lost)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The transform to stay near, and the silhouette whose moves are counted."""

    a: complex
    """s exp(i angle) of the last transform."""
    t: complex
    """Its translation, pixels."""
    mean: complex
    """Of the reference's silhouette, pixels."""
    spread: float
    """Root mean square distance of the silhouette's pixels from their mean, pixels; above 0."""
    tolerance: float
    """IoU, of this frame."""
    speed_weight: float
    """IoU times seconds, of this frame."""
    seconds: float
    config: SteadyConfig

    @classmethod
    def of(cls, previous: Previous, *, samples: NDArray[np.float64], config: SteadyConfig) -> Anchor:
        """`samples` [2, K]: points that share the silhouette evenly, pixels."""
        points = samples[0] + 1j * samples[1]
        mean = complex(points.mean())
        spread = math.sqrt(float((np.abs(points - mean) ** 2).mean()))
        last, share = previous.transform, previous.iou**2
        over = max(1.0, previous.lost / config.mean_loss)
        return cls(
            a=last.scale * complex(math.cos(last.angle_radians), math.sin(last.angle_radians)),
            t=complex(*last.translation_pixels),
            mean=mean,
            spread=max(spread, 1e-3),
            tolerance=config.tolerance * share,
            speed_weight=config.speed_weight * share / over**EASE,
            seconds=max(previous.seconds, 1e-3),
            config=config,
        )

    def cost(self, a: complex, t: complex) -> float:
        """IoU that the move from the last transform to y = a x + t is worth."""
        turn, shift = a - self.a, (a - self.a) * self.mean + t - self.t
        moved = math.sqrt(abs(turn) ** 2 * self.spread**2 + abs(shift) ** 2)  # of the silhouette's pixels, RMS
        before, after = abs(self.a) ** 2, abs(a) ** 2
        speed = moved / (abs(self.a) * self.spread * self.seconds)
        rescaled = abs(after - before) / (after + before)
        config = self.config
        return self.speed_weight * speed * (1 + speed / config.glide_speed) + config.scale_weight * rescaled

    def in_cells(self, *, cell: int, x_origin: complex, ring: int) -> NDArray[np.float32]:
        """[10] for `subset_search.score_fits`: points are (x - `x_origin`) / cell, positions y / cell + `ring`."""
        landed = (self.a * self.mean + self.t) / cell + complex(ring, ring)
        mean, spread = (self.mean - x_origin) / cell, self.spread / cell
        per_cell = 1 / (abs(self.a) * spread * self.seconds)  # sizes per second
        return np.array(
            [
                self.a.real, self.a.imag, mean.real, mean.imag, landed.real, landed.imag, spread**2,
                self.speed_weight * per_cell, per_cell / self.config.glide_speed, self.config.scale_weight,
            ],
            np.float32,
        )  # fmt: skip


NOWHERE = np.array([1, 0, 0, 0, 0, 0, 1, 0, 0, 0], np.float32)
"""What `in_cells` would give where moving costs nothing."""
