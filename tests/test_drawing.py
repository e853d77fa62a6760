from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import body
from tpc_stream.drawing.densepose import body_parts, draw_densepose, draw_densepose_uv, part_colours
from tpc_stream.drawing.dwpose import draw_dwpose, most_certain
from tpc_stream.drawing.limbs import FROM_COCO, body_points
from tpc_stream.drawing.openpose18 import draw_openpose18
from tpc_stream.errors import InputError
from tpc_stream.frame import KEYPOINT_NAMES, Body

ALLOWED_PIXELS = 0
"""None differs with OpenCV 5.0 from what 4.8.1 drew."""


def golden(shared: Path, name: str) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return dict(load_file(shared / "golden" / "pose_render" / f"{name}.safetensors"))


def differing(found: np.ndarray, wanted: np.ndarray) -> int:
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    return int((found != wanted).any(axis=-1).sum())


@pytest.mark.samples
@pytest.mark.parametrize(("name", "person"), [("aa_dwpose_single", 0), ("aa_dwpose_two_people", 0)])
def test_a_dwpose_drawing_has_the_published_pixels(shared: Path, name: str, person: int) -> None:
    case = golden(shared, name)
    height, width = case["image"].shape[:2]
    assert most_certain(case["scores"]) == person
    np.testing.assert_allclose(
        (case["scores"][person, :17].sum() + case["body_score"][0, 1]) / 18, case["body_score"].mean(), rtol=1e-5
    )
    drawn = draw_dwpose(case["keypoints"][person], case["scores"][person], width=width, height=height)
    assert differing(drawn, case["image"]) <= ALLOWED_PIXELS


@pytest.mark.samples
def test_an_openpose_drawing_has_the_published_pixels(shared: Path) -> None:
    case = golden(shared, "disco_openpose_a")
    points = case["coco17_xy"]
    drawn = draw_openpose18(points, (points[:, 0] >= 0).astype(np.float64), width=256, height=256)
    assert differing(drawn, case["image"]) <= ALLOWED_PIXELS


@pytest.mark.samples
def test_densepose_parts_have_the_published_colours(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "pose_render" / "cases.json").read_text())
    assert part_colours().tolist() == cases["magicanimate_densepose_part_colours_rgb"]


@pytest.mark.parametrize("draw", [draw_dwpose, draw_openpose18])
def test_only_limbs_between_seen_points_are_drawn(draw) -> None:
    person = body(128, 128)
    whole = draw(person.keypoints, person.visibility, width=128, height=128)
    hidden = person.visibility.copy()
    hidden[KEYPOINT_NAMES.index("left_wrist")] = 0.1
    part = draw(person.keypoints, hidden, width=128, height=128)
    x, y = person.keypoints[KEYPOINT_NAMES.index("left_wrist")].astype(int)
    assert whole[y, x].any() and not part[y, x].any()
    elbow, shoulder = KEYPOINT_NAMES.index("left_elbow"), KEYPOINT_NAMES.index("left_shoulder")
    x, y = person.keypoints[[elbow, shoulder]].mean(axis=0).astype(int)
    assert part[y, x].any()
    assert not draw(person.keypoints, np.zeros(17), width=128, height=128).any()


def test_hands_and_face_are_drawn_only_where_they_are_given() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([body(128, 128).keypoints, rng.uniform(10, 118, (116, 2))])
    alone = draw_dwpose(points[:17], np.ones(17), width=128, height=128)
    scores = np.concatenate([np.ones(17), np.zeros(116)])
    np.testing.assert_array_equal(draw_dwpose(points, scores, width=128, height=128), alone)
    assert (draw_dwpose(points, np.ones(133), width=128, height=128) != alone).any(axis=-1).sum() > 500


def test_the_neck_needs_both_shoulders() -> None:
    person = body()
    points, seen = body_points(person.keypoints, person.visibility, threshold=0.3)
    assert seen.all()
    np.testing.assert_allclose(points[1], person.keypoints[[5, 6]].mean(axis=0))
    hidden = person.visibility.copy()
    hidden[5] = 0
    assert [FROM_COCO[k] for k in np.nonzero(~body_points(person.keypoints, hidden, threshold=0.3)[1])[0]] == [-1, 5]


def test_other_point_counts_are_refused() -> None:
    with pytest.raises(InputError, match="17 or 133 points"):
        draw_dwpose(np.zeros((18, 2)), np.ones(18), width=8, height=8)
    with pytest.raises(InputError, match="17 points"):
        draw_openpose18(np.zeros((18, 2)), np.ones(18), width=8, height=8)


def test_an_approximate_densepose_picture_covers_the_silhouette_with_the_right_limbs() -> None:
    person = body(128, 128)
    parts, across, along = body_parts(person, width=128, height=128)
    np.testing.assert_array_equal(parts > 0, person.silhouette > 127)

    def part_at(*names: str) -> int:
        x, y = person.keypoints[[KEYPOINT_NAMES.index(name) for name in names]].mean(axis=0).astype(int)
        return int(parts[y, x])

    # seen from the front: the left side is on the picture's right
    assert part_at("left_elbow", "left_wrist") == 21 and part_at("right_elbow", "right_wrist") == 22
    assert part_at("left_hip", "left_knee") == 10 and part_at("right_knee", "right_ankle") == 13
    assert part_at("left_shoulder", "right_hip") == 2
    assert across.max() <= 1 and along.max() <= 1 and along[parts > 0].std() > 0.1
    turned = Body(person.keypoints * (-1, 1) + (128, 0), person.visibility, person.silhouette[:, ::-1].copy())
    assert 1 in body_parts(turned, width=128, height=128)[0] and 2 not in body_parts(turned, width=128, height=128)[0]


def test_densepose_pictures_scale_with_the_canvas_and_survive_nobody() -> None:
    person = body(64, 64)
    picture = draw_densepose(person, width=96, height=96)
    assert picture.shape == (96, 96, 3) and draw_densepose_uv(person, width=96, height=96).shape == (96, 96, 2)
    assert {tuple(c) for c in picture.reshape(-1, 3).tolist()} <= {tuple(c) for c in part_colours().tolist()}
    nobody = Body(person.keypoints, np.zeros(17, np.float32), person.silhouette)
    assert (draw_densepose(nobody, width=96, height=96) == part_colours()[0]).all()
    empty = Body(person.keypoints, person.visibility, np.zeros_like(person.silhouette))
    assert not draw_densepose_uv(empty, width=96, height=96).any()
