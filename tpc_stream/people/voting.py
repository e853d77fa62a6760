"""Several answers to "where is the person?" vote: those that agree win, and become one body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError
from tpc_stream.frame import Body
from tpc_stream.people.silhouette import join_silhouettes

_SHOULDERS, _HIPS = (5, 6), (11, 12)


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """What the winning answers say together."""

    body: Body
    """Keypoints: weighted medians; visibility: means; silhouette: joined."""
    winners: tuple[int, ...]
    """Which answers agreed, rising."""
    runner_up: tuple[int, ...]
    """The strongest group among the other answers, rising; empty where there are none."""
    runner_up_share: float
    """[0, 1]: the support of the strongest disagreeing group over the winners' support."""


def vote(answers: Sequence[Body], *, agreement: float) -> Vote:
    """The largest group of `answers` that agree with one of them, each counting by its mean visibility.

    Two answers agree where their keypoints lie on average within `agreement` times the body's size of each other. A
    body taken upside down, or left for right, so never mixes with the right one. Errors: InputError for no answers.
    """
    if not answers:
        raise InputError("there is no answer to vote on")
    weight = np.array([float(answer.visibility.mean()) for answer in answers])
    agrees = np.array([[distance(one, other) <= agreement for other in answers] for one in answers])
    np.fill_diagonal(agrees, True)
    support = agrees @ weight
    winners = np.flatnonzero(agrees[int(np.argmax(support))])
    rest = np.setdiff1d(np.arange(len(answers)), winners)
    runner_up, share = np.array([], int), 0.0
    if len(rest):
        rival = agrees[np.ix_(rest, rest)] @ weight[rest]
        runner_up = rest[agrees[rest[int(np.argmax(rival))], rest]]
        share = min(1.0, float(rival.max()) / max(float(support.max()), 1e-9))
    return Vote(
        body=join_bodies([answers[int(k)] for k in winners]),
        winners=tuple(int(k) for k in winners),
        runner_up=tuple(int(k) for k in runner_up),
        runner_up_share=share,
    )


def body_size_pixels(body: Body) -> float:
    """The diagonal of the box about all 17 keypoints, pixels."""
    return float(np.linalg.norm(np.ptp(body.keypoints.astype(np.float64), axis=0)))


def torso_angle_degrees(body: Body) -> float:
    """How far the line from hips to shoulders is turned from upright, clockwise positive, in (-180, 180]."""
    points = body.keypoints.astype(np.float64)
    x, y = points[list(_SHOULDERS)].mean(axis=0) - points[list(_HIPS)].mean(axis=0)
    return float(np.rad2deg(np.arctan2(x, -y)))


def distance(one: Body, other: Body) -> float:
    """The mean distance of two bodies' keypoints, weighted by visibility, over the bodies' size."""
    weight = np.sqrt(one.visibility.astype(np.float64) * other.visibility) + 1e-6
    apart = np.linalg.norm(one.keypoints.astype(np.float64) - other.keypoints, axis=1)
    size = max(np.sqrt(body_size_pixels(one) * body_size_pixels(other)), 1e-6)
    return float((weight @ apart) / weight.sum() / size)


def join_bodies(bodies: Sequence[Body]) -> Body:
    """One body of several of the same person: weighted medians of the keypoints, mean visibility, joined silhouette."""
    visibility = np.stack([body.visibility for body in bodies]).astype(np.float64)
    points = np.stack([body.keypoints for body in bodies]).astype(np.float64)
    keypoints = np.array(
        [[_weighted_median(points[:, k, axis], visibility[:, k]) for axis in (0, 1)] for k in range(points.shape[1])]
    )
    return Body(
        keypoints=keypoints.astype(np.float32),
        visibility=visibility.mean(axis=0).astype(np.float32),
        silhouette=join_silhouettes([body.silhouette for body in bodies]),
    )


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Between the values at which half of the weight is passed; the plain median for equal weights."""
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order] + 1e-6
    middle = np.cumsum(weights) - weights / 2
    return float(np.interp(weights.sum() / 2, middle, values))
