"""A second look at a person who was found: upright, close, and with the shadows lifted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.frame import Body
from tpc_stream.people.estimator import Estimator
from tpc_stream.people.portrait_config import PortraitConfig
from tpc_stream.people.silhouette import join_silhouettes
from tpc_stream.people.turning import turn_image, turn_to, undo_turn
from tpc_stream.people.voting import distance, join_bodies, torso_angle_degrees


def look_closer(estimator: Estimator, image: NDArray[np.uint8], body: Body, *, config: PortraitConfig) -> list[Body]:
    """What the estimator says of the person in views of it, in pixels of `image`; answers near `body` alone.

    An illusion, such as a body taken upside down, is seldom seen again when its own torso is upright: how many answers
    come back says how much `body` is worth.
    """
    size = image.shape[1], image.shape[0]
    lifted = lift_shadows(image, where=body.silhouette, target=config.lifted_to, least_gamma=config.least_gamma)
    upright = -torso_angle_degrees(body)
    answers = []
    for degrees in config.closer_degrees:
        for mirrored in (False, True):
            view = turn_to(
                body, angle_degrees=upright + degrees, size=size, pixels=config.closer_pixels,
                fill=config.closer_fill, mirrored=mirrored,
            )  # fmt: skip
            found = estimator.estimate(turn_image(lifted, view))
            if found is not None:
                found = undo_turn(found, view)
                if distance(found, body) <= config.closer_agreement:
                    answers.append(found)
    return answers


def with_closer(winners: Sequence[Body], closer: Sequence[Body], *, config: PortraitConfig) -> Body:
    """One body: the keypoints by all answers, the silhouette by the closer look where that gave enough."""
    joined = join_bodies([*winners, *closer])
    if len(closer) < config.min_closer:
        return join_bodies(winners)
    silhouette = join_silhouettes([body.silhouette for body in closer])
    return Body(keypoints=joined.keypoints, visibility=joined.visibility, silhouette=silhouette)


def lift_shadows(
    image: NDArray[np.uint8], *, where: NDArray[np.uint8], target: float, least_gamma: float
) -> NDArray[np.uint8]:
    """`image` (HWC RGB uint8) under the gamma curve that brings the median brightness of `where` (HW uint8, from 128
    on; all of the picture where that is empty) up to `target`, [0, 1]. It never darkens; `least_gamma` bounds it."""
    brightness = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    chosen = brightness[where >= 128] if (where >= 128).any() else brightness
    median = min(max(float(np.median(chosen)) / 255.0, 1e-3), 1.0 - 1e-3)
    gamma = min(1.0, max(least_gamma, math.log(target) / math.log(median)))
    curve = np.rint(255.0 * (np.arange(256) / 255.0) ** gamma).astype(np.uint8)
    return np.asarray(cv2.LUT(image, curve), dtype=np.uint8)
