"""The closer look: views and the way back, shadows, and that it settles which of two stories is true."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.dots import DotEstimator, draw_person, find_person
from tpc_stream.frame import Body
from tpc_stream.people.closer import lift_shadows, look_closer, with_closer
from tpc_stream.people.portrait_config import PortraitConfig
from tpc_stream.people.turning import MIRRORED_POINTS, turn_image, turn_to, undo_turn
from tpc_stream.people.voting import distance, torso_angle_degrees
from tpc_stream.portrait import prepare_portrait

AS_IT_IS = PortraitConfig(lifted_to=0.001)
"""No gamma: the dots are known by their exact colours."""


def _body(image: NDArray[np.uint8]) -> Body:
    body = find_person(image)
    assert body is not None
    return body


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 57.0, -130.0])
def test_what_is_found_in_a_view_comes_back(degrees: float, mirrored: bool) -> None:
    image, places = draw_person(width=420, height=330, scale=3.0, left=60, top=10)
    body = _body(image)
    view = turn_to(body, angle_degrees=degrees, size=(420, 330), pixels=512, fill=0.8, mirrored=mirrored)
    shown = turn_image(image, view)
    assert shown.shape == (512, 512, 3)
    found = _body(shown)
    low, high = found.keypoints.min(axis=0), found.keypoints.max(axis=0)
    assert np.abs((low + high) / 2 - 256).max() < 3 and (high - low).max() == pytest.approx(0.8 * 512, abs=6)
    back = undo_turn(found, view)
    # the dots keep their colours in a mirror, unlike people, whose right hand becomes a left one
    expected = places[list(MIRRORED_POINTS)] if mirrored else places
    assert np.abs(back.keypoints - expected).max() < 0.75
    assert back.silhouette.shape == (330, 420)
    assert ((back.silhouette >= 128) ^ (body.silhouette >= 128)).mean() < 0.01


class Faithful(DotEstimator):
    """Sees dots as people are seen: in a mirror, left for right."""

    def __init__(self, *, upright_only: bool = False) -> None:
        super().__init__()
        self.upright_only = upright_only

    def estimate(self, image: NDArray[np.uint8]) -> Body | None:
        self.calls += 1
        body = find_person(image)
        if body is None:
            return None
        shoulders, hips = body.keypoints[[5, 6]], body.keypoints[[11, 12]]
        down, across = hips.mean(axis=0) - shoulders.mean(axis=0), shoulders[0] - shoulders[1]
        if down[0] * across[1] - down[1] * across[0] > 0:
            swapped = list(MIRRORED_POINTS)
            body = Body(body.keypoints[swapped], body.visibility[swapped], body.silhouette)
        return body


def test_a_true_body_is_seen_again_and_an_illusion_is_not() -> None:
    image, places = draw_person(width=420, height=330, left=60, top=10, degrees=40)
    body = _body(image)
    again = look_closer(Faithful(), image, body, config=AS_IT_IS)
    assert len(again) == 6 and all(np.abs(one.keypoints - places).max() < 0.75 for one in again)
    upside_down = Body(2 * body.keypoints.mean(axis=0) - body.keypoints, body.visibility, body.silhouette)
    assert distance(upside_down, body) > 0.15
    assert look_closer(Faithful(), image, upside_down, config=AS_IT_IS) == []


def test_the_closer_look_overrules_a_majority_of_illusions() -> None:
    image, places = draw_person(width=310, height=310)

    class MostlyWrong(Faithful):
        def estimate(self, image: NDArray[np.uint8]) -> Body | None:
            body = super().estimate(image)
            if body is None or self.calls > 12 or self.calls % 3 == 0:
                return body
            return Body(2 * body.keypoints.mean(axis=0) - body.keypoints, body.visibility, body.silhouette)

    portrait = prepare_portrait(image, width=310, height=310, estimator=MostlyWrong(), config=AS_IT_IS)
    assert np.abs(portrait.body.keypoints - places).max() < 1.0
    assert abs(torso_angle_degrees(portrait.body)) < 1


def test_too_few_closer_answers_change_nothing() -> None:
    image, _ = draw_person(width=310, height=310)
    body = _body(image)
    other = Body(body.keypoints + 5, body.visibility, np.zeros_like(body.silhouette))
    kept = with_closer([body], [other, other], config=PortraitConfig(min_closer=3))
    assert np.allclose(kept.keypoints, body.keypoints) and np.array_equal(kept.silhouette, body.silhouette)
    taken = with_closer([body], [other, other], config=PortraitConfig(min_closer=2))
    assert not taken.silhouette.any()


def test_shadows_are_lifted_to_the_target_and_light_is_left_alone() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    image[5:15, 5:15] = 90
    where = np.zeros((20, 20), np.uint8)
    where[5:15, 5:15] = 255
    lifted = lift_shadows(image, where=where, target=0.73, least_gamma=0.1)
    assert lifted[10, 10, 0] == pytest.approx(0.73 * 255, abs=1.5) and lifted[0, 0, 0] > 200
    assert np.array_equal(lift_shadows(image, where=255 - where, target=0.73, least_gamma=0.1), image)
    bounded = lift_shadows(image, where=where, target=0.73, least_gamma=0.5)
    assert bounded[10, 10, 0] == pytest.approx(255 * (90 / 255) ** 0.5, abs=1)
    black = np.zeros((20, 20, 3), np.uint8)
    assert np.array_equal(lift_shadows(black, where=np.zeros((20, 20), np.uint8), target=0.73, least_gamma=0.3), black)
