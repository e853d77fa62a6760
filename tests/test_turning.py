"""A turn is undone exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.dots import draw_person, find_person
from tpc_stream.frame import Body
from tpc_stream.people.turning import turn_for, turn_image, undo_turn


@pytest.mark.parametrize(("degrees", "quarter_turns"), [(90.0, -1), (-90.0, 1), (180.0, 2), (0.0, 0)])
def test_quarter_turns_are_exact(degrees: float, quarter_turns: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (37, 64, 3), dtype=np.uint8)
    turn = turn_for(64, 37, degrees=degrees)
    turned = turn_image(image, turn)
    assert np.array_equal(turned, np.rot90(image, quarter_turns))
    silhouette = np.ascontiguousarray(turned[..., 0])
    back = undo_turn(Body(np.zeros((17, 2), np.float32), np.zeros(17, np.float32), silhouette), turn)
    assert np.array_equal(back.silhouette, image[..., 0])


def test_positive_is_clockwise_on_the_screen() -> None:
    turn = turn_for(100, 100, degrees=90)
    top_middle = np.array([50.0, 0.0, 1.0])
    assert np.allclose(turn.matrix @ top_middle, [100.0, 50.0])


@pytest.mark.parametrize("degrees", [17.0, 45.0, 123.0, -160.0, 270.0])
def test_points_found_in_the_turned_picture_come_back(degrees: float) -> None:
    image, places = draw_person(width=420, height=330)
    turn = turn_for(420, 330, degrees=degrees)
    found = find_person(turn_image(image, turn))
    assert found is not None
    back = undo_turn(found, turn)
    assert np.abs(back.keypoints - places).max() < 0.75
    assert back.silhouette.shape == (330, 420)


@pytest.mark.parametrize("degrees", [10.0, 45.0, 200.0])
def test_the_whole_picture_stays_on_the_turned_canvas(degrees: float) -> None:
    turn = turn_for(64, 37, degrees=degrees)
    corners = np.array([[0, 64, 0, 64], [0, 0, 37, 37], [1, 1, 1, 1]], np.float64)
    x, y = turn.matrix @ corners
    assert x.min() > -0.01 and y.min() > -0.01
    assert x.max() < turn.turned_size[0] + 0.01 and y.max() < turn.turned_size[1] + 0.01
