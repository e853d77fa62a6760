"""The reference picture: turned people, masks, several people, and what is refused."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cutout import background, before, read_man
from tests.dots import DotEstimator, draw_person
from tpc_stream.errors import InputError, PortraitError
from tpc_stream.frame import Body
from tpc_stream.people.turning import turn_for
from tpc_stream.people.voting import torso_angle_degrees
from tpc_stream.portrait import PortraitConfig, prepare_portrait
from tpc_stream.pose import PoseEstimator


def _upside_down(body: Body | None) -> Body | None:
    """The same place, but head for feet: what the estimator says of people it sees the wrong way up."""
    if body is None:
        return None
    return Body(2 * body.keypoints.mean(axis=0) - body.keypoints, np.ones(17, np.float32), body.silhouette)


# ---- geometry and voting


@pytest.mark.parametrize("degrees", [0, 55, 180, -100])
@pytest.mark.parametrize(("fit_mode", "width", "height"), [("pad", 256, 384), ("crop", 300, 320)])
def test_keypoints_land_on_the_canvas_where_the_person_is(degrees: int, fit_mode: str, width: int, height: int) -> None:
    image, places = draw_person(width=340, height=320, left=20, top=10, degrees=degrees)
    portrait = prepare_portrait(image, width=width, height=height, fit_mode=fit_mode, estimator=DotEstimator())
    scale = min(width / 340, height / 320) if fit_mode == "pad" else max(width / 340, height / 320)
    expected = (places - (170, 160)) * scale + (width / 2, height / 2)
    assert np.abs(portrait.body.keypoints - expected).max() < 1.0
    assert portrait.image.shape == (height, width, 3)
    assert torso_angle_degrees(portrait.body) == pytest.approx(degrees, abs=1)
    inside = portrait.mask[tuple(np.rint(expected.mean(axis=0)).astype(int)[::-1])]
    assert inside == 255 and np.array_equal(portrait.mask, portrait.body.silhouette)


def test_a_large_picture_is_looked_at_smaller_and_mapped_back() -> None:
    image, places = draw_person(width=1300, height=1000, scale=9.0, left=200, top=50)
    estimator = DotEstimator()
    portrait = prepare_portrait(image, width=1300, height=1000, estimator=estimator)
    assert np.abs(portrait.body.keypoints - places).max() < 2.0


def test_upside_down_answers_are_outvoted() -> None:
    image, places = draw_person(width=310, height=310)
    liar = DotEstimator(lambda call, body: _upside_down(body) if call in (0, 3, 4, 9, 10) else body)
    portrait = prepare_portrait(image, width=310, height=310, estimator=liar)
    assert np.abs(portrait.body.keypoints - places).max() < 1.0
    assert any("not certain" in note for note in portrait.notes)


def test_a_person_found_under_a_few_turns_only_is_found() -> None:
    image, places = draw_person(width=310, height=310)
    blind = DotEstimator(lambda call, body: body if call in (4, 5) else None)
    portrait = prepare_portrait(image, width=310, height=310, estimator=blind)
    assert np.abs(portrait.body.keypoints - places).max() < 1.0


@pytest.mark.parametrize(("degrees", "words"), [(60, r"turned by \+60"), (180, "upside down, turned by")])
def test_a_turned_person_is_told_of(degrees: int, words: str, caplog: pytest.LogCaptureFixture) -> None:
    image, _ = draw_person(width=310, height=310, degrees=degrees)
    with caplog.at_level(logging.WARNING):
        portrait = prepare_portrait(image, width=310, height=310, name="her.png", estimator=DotEstimator())
    (note,) = portrait.notes
    assert re.search(words, note)
    assert caplog.messages == [f"her.png: {note}"]


# ---- masks


def test_the_alpha_channel_is_the_mask_and_padding_is_outside_it() -> None:
    image, _ = draw_person(width=310, height=310)
    alpha = np.zeros((310, 310), np.uint8)
    alpha[:, 20:290] = 255  # touches the top and bottom edges, which the fit repeats into the padding
    portrait = prepare_portrait(image, alpha=alpha, width=310, height=400, estimator=DotEstimator())
    assert np.array_equal(portrait.mask[45:355], alpha)
    assert not portrait.mask[:45].any() and not portrait.mask[355:].any()


def test_an_opaque_alpha_channel_says_nothing() -> None:
    image, _ = draw_person(width=310, height=310)
    opaque = np.full((310, 310), 255, np.uint8)
    portrait = prepare_portrait(image, alpha=opaque, width=310, height=310, estimator=DotEstimator())
    assert 0 < (portrait.mask > 0).mean() < 0.5


def test_a_given_mask_goes_before_alpha_and_the_note_says_so() -> None:
    image, _ = draw_person(width=310, height=310)
    alpha, mask = np.zeros((310, 310), np.uint8), np.zeros((310, 310), np.uint8)
    alpha[5:] = 255
    mask[:, 25:285] = 255
    portrait = prepare_portrait(image, alpha=alpha, mask=mask, width=310, height=310, estimator=DotEstimator())
    assert np.array_equal(portrait.mask, mask)
    assert any("not the picture's own alpha" in note for note in portrait.notes)


def test_only_what_the_mask_shows_is_looked_at() -> None:
    image, _ = draw_person(width=620, height=310)
    other, places = draw_person(width=620, height=310, left=310)
    both = np.maximum(image, other)
    mask = np.zeros((310, 620), np.uint8)
    mask[:, 310:] = 255
    portrait = prepare_portrait(both, mask=mask, width=620, height=310, estimator=DotEstimator())
    assert np.abs(portrait.body.keypoints - places).max() < 1.0


@pytest.mark.parametrize("kind", ["alpha", "mask"])
def test_an_empty_or_misshapen_mask_is_refused(kind: str) -> None:
    image, _ = draw_person(width=310, height=310)
    with pytest.raises(PortraitError, match=r"me\.png: its .* shows nobody"):
        prepare_portrait(image, **{kind: np.zeros((310, 310), np.uint8)}, width=64, height=64, name="me.png")
    with pytest.raises(PortraitError, match=r"me\.png: its .* is 310x5 uint8, the picture 310x310"):
        prepare_portrait(image, **{kind: np.zeros((5, 310), np.uint8)}, width=64, height=64, name="me.png")


def test_a_mask_of_the_whole_picture_is_refused_and_such_an_alpha_says_nothing() -> None:
    image, _ = draw_person(width=310, height=310)
    bright = np.full((310, 310), 254, np.uint8)
    with pytest.raises(PortraitError, match=r"me\.png: its mask shows the whole picture"):
        prepare_portrait(image, mask=bright, width=64, height=64, name="me.png", estimator=DotEstimator())
    portrait = prepare_portrait(image, alpha=bright, width=310, height=310, estimator=DotEstimator())
    assert 0 < (portrait.mask > 0).mean() < 0.5


def test_a_mask_that_hides_the_person_is_named_as_the_reason() -> None:
    image, _ = draw_person(width=310, height=310)
    inverted = np.full((310, 310), 255, np.uint8)
    inverted[10:300, 80:220] = 0
    with pytest.raises(PortraitError, match=r"me\.png: nobody was found .*check that the mask is bright on the person"):
        prepare_portrait(image, mask=inverted, width=64, height=64, name="me.png", estimator=DotEstimator())


# ---- several people, nobody


class CrowdEstimator(DotEstimator):
    """Always answers with the first of `people`, upright pictures only; all of them for `estimate_all`."""

    def __init__(self, people: list[Body]) -> None:
        super().__init__()
        self._people = people

    def estimate(self, image: NDArray[np.uint8]) -> Body | None:
        return self._people[0]

    def estimate_all(self, image: NDArray[np.uint8]) -> list[Body]:
        return self._people


def _person_at(left: int, scale: float) -> Body:
    _, places = draw_person(width=600, height=400, left=left, scale=scale)
    silhouette = np.zeros((400, 600), np.uint8)
    silhouette[: int(100 * scale), left + int(25 * scale) : left + int(75 * scale)] = 255
    return Body(places.astype(np.float32), np.full(17, 0.9, np.float32), silhouette)


_UPRIGHT_ONLY = PortraitConfig(turns_degrees=(0.0,))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_people_the_larger_is_taken_and_a_note_says_so(
    order: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    both = [_person_at(0, 2.5), _person_at(300, 3.0)]
    image = np.zeros((400, 600, 3), np.uint8)
    with caplog.at_level(logging.WARNING):
        portrait = prepare_portrait(
            image, width=600, height=400, config=_UPRIGHT_ONLY, estimator=CrowdEstimator([both[k] for k in order])
        )
    assert np.abs(portrait.body.keypoints - both[1].keypoints).max() < 0.1
    assert "2 people were found" in portrait.notes[0] and "2 people" in caplog.text


def test_a_small_figure_in_the_background_is_not_worth_a_note() -> None:
    people = [_person_at(0, 3.5), _person_at(450, 1.0)]
    image = np.zeros((400, 600, 3), np.uint8)
    portrait = prepare_portrait(image, width=600, height=400, config=_UPRIGHT_ONLY, estimator=CrowdEstimator(people))
    assert portrait.notes == ()


def test_nobody_is_an_error_that_names_the_file_and_the_remedy() -> None:
    with pytest.raises(PortraitError, match=r"^sea\.png: nobody was found .*another picture, .*--reference-mask$"):
        prepare_portrait(np.zeros((90, 90, 3), np.uint8), width=64, height=64, name="sea.png", estimator=DotEstimator())


def test_one_answer_alone_is_an_illusion() -> None:
    image, _ = draw_person(width=310, height=310)
    blind = DotEstimator(lambda call, body: body if call == 4 else None)
    with pytest.raises(PortraitError, match="no 2 of 1 guesses"):
        prepare_portrait(image, width=310, height=310, estimator=blind)


def test_one_visible_keypoint_is_too_few() -> None:
    def hide(call: int, body: Body | None) -> Body | None:
        if body is None:
            return None
        seen = np.full(17, 0.1, np.float32)
        seen[3] = 0.9
        return Body(body.keypoints, seen, body.silhouette)

    image, _ = draw_person(width=310, height=310)
    with pytest.raises(PortraitError, match="only 1 of the person's 17"):
        prepare_portrait(image, width=310, height=310, estimator=DotEstimator(hide))


def test_the_callers_estimator_stays_open() -> None:
    image, _ = draw_person(width=310, height=310)
    estimator = DotEstimator()
    prepare_portrait(image, width=64, height=64, estimator=estimator)
    assert not estimator.closed


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="HWC RGB uint8"):
        prepare_portrait(np.zeros((9, 9), np.uint8), width=64, height=64)
    with pytest.raises(InputError, match="at least one turn"):
        PortraitConfig(turns_degrees=())


def test_a_blank_picture_has_nobody_for_mediapipe_either() -> None:
    with pytest.raises(PortraitError, match="nobody was found"):
        prepare_portrait(np.full((200, 300, 3), 90, np.uint8), width=256, height=256)


# ---- real references


def _picture(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])


OFFICIAL_DEGREES = 53.7
"""How far the official reference is turned from reference_upright.jpeg: their SIFT features, registered."""


def _iou(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    a, b = one >= 128, other >= 128
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def estimator() -> Iterator[PoseEstimator]:
    with PoseEstimator() as opened:
        yield opened


@pytest.fixture(scope="module")
def upright(shared: Path, estimator: PoseEstimator) -> Body:
    image = _picture(shared / "samples/tpc-official/reference_upright.jpeg")
    return prepare_portrait(image, width=540, height=540, estimator=estimator).body


def _check_official(shared: Path, upright: Body, estimator: PoseEstimator, degrees: int, border: int) -> float:
    """Asserts the angle of the official reference turned by `degrees`, against the upright one; returns its IoU."""
    folder = shared / "samples/tpc-official"
    image, theirs = _picture(folder / "reference.png"), _picture(folder / "reference_mask.png")[..., 0]
    turn = turn_for(512, 512, degrees=degrees)
    turned = cv2.warpAffine(image, turn.matrix, turn.turned_size, borderMode=border)
    width, height = turn.turned_size
    portrait = prepare_portrait(turned, width=width, height=height, estimator=estimator)
    seen = (upright.visibility >= 0.5) & (portrait.body.visibility >= 0.5)
    x, y = (body.keypoints[seen].astype(np.float64) @ (1, 1j) for body in (upright, portrait.body))
    angle = np.rad2deg(np.angle(np.vdot(x - x.mean(), y - y.mean())))
    assert abs((angle - OFFICIAL_DEGREES - degrees + 180) % 360 - 180) < 3
    return _iou(portrait.mask, cv2.warpAffine(theirs, turn.matrix, turn.turned_size))


@pytest.mark.samples
@pytest.mark.parametrize(
    ("degrees", "border", "least"),
    [
        (0, cv2.BORDER_REPLICATE, 0.84),
        (135, cv2.BORDER_REPLICATE, 0.80),
        (60, cv2.BORDER_CONSTANT, 0.80),  # where more of the turns see her upside down than not
    ],
)
def test_the_official_reference_comes_out_right_however_it_is_turned(
    shared: Path, upright: Body, estimator: PoseEstimator, degrees: int, border: int, least: float
) -> None:
    assert _check_official(shared, upright, estimator, degrees, border) > least


@pytest.mark.slow
@pytest.mark.samples
@pytest.mark.parametrize("border", [cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT])
def test_the_official_reference_comes_out_right_at_all_24_turns(
    shared: Path, upright: Body, estimator: PoseEstimator, border: int
) -> None:
    overlaps = [_check_official(shared, upright, estimator, degrees, border) for degrees in range(0, 360, 15)]
    assert np.mean(overlaps) > 0.84 and min(overlaps) > 0.80


@pytest.mark.samples
@pytest.mark.parametrize("kind", ["plain", "gradient", "texture"])
def test_a_man_is_cut_out_of_any_background(shared: Path, estimator: PoseEstimator, kind: str) -> None:
    image, mask = read_man(shared / "samples/references/man_cutout.png")
    height, width = mask.shape
    shown = before(image, mask, background(kind, width=width, height=height))
    portrait = prepare_portrait(shown, width=width, height=height, estimator=estimator)
    assert _iou(portrait.mask, mask) > 0.94
    assert abs(torso_angle_degrees(portrait.body)) < 3


@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "angle"), [("man_cutout.png", 0), ("man_standing.jpg", -3), ("warrior.jpg", 2), ("woman_bent.jpg", -68)]
)
def test_real_references_are_found(shared: Path, name: str, angle: float) -> None:
    portrait = prepare_portrait(_picture(shared / "samples/references" / name), width=256, height=384)
    assert torso_angle_degrees(portrait.body) == pytest.approx(angle, abs=5)
    assert portrait.body.visibility.mean() > 0.9
    columns, rows = np.rint(portrait.body.keypoints - 0.5).astype(int).T
    assert (portrait.mask[rows, columns] >= 128).mean() > 0.75


@pytest.mark.samples
def test_of_two_real_people_one_is_taken(shared: Path) -> None:
    people = [_picture(shared / "samples/references" / name) for name in ("man_standing.jpg", "man_cutout.png")]
    both = np.concatenate([cv2.resize(person, (600, 900)) for person in people], axis=1)
    with PoseEstimator() as estimator:
        portrait = prepare_portrait(both, width=512, height=384, estimator=estimator)
    assert any("2 people were found" in note for note in portrait.notes)
    spread = np.ptp(portrait.body.keypoints[:, 0])
    assert spread < 256
