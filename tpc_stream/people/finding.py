"""Who is in the reference picture, and how turned: many looks, a vote, and a closer look at what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import PortraitError
from tpc_stream.frame import Body
from tpc_stream.people.closer import lift_shadows, look_closer, with_closer
from tpc_stream.people.estimator import Estimator
from tpc_stream.people.portrait_config import PortraitConfig
from tpc_stream.people.silhouette import area_pixels, overlap
from tpc_stream.people.turning import Turn, turn_for, turn_image, undo_turn
from tpc_stream.people.voting import Vote, body_size_pixels, join_bodies, torso_angle_degrees, vote


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    turn: Turn
    body: Body
    """In pixels of the picture."""


def find_person(
    estimator: Estimator,
    image: NDArray[np.uint8],
    *,
    name: str,
    masked: bool,
    silhouette: bool,
    config: PortraitConfig,
    notes: list[str],
) -> Body:
    """The person in `image` (HWC RGB uint8), in its pixels; adds what a user should know to `notes`.

    Args:
        masked: whether all but the person was taken away by a mask, of which errors then speak.
        silhouette: whether a good silhouette is wanted; without, the closer look is left out where nothing is doubtful.

    Errors: PortraitError where nobody is found or the guesses do not agree.
    """
    looks = _look_around(estimator, image, config=config)
    if len(looks) < config.min_agreeing:  # nobody, or too dark to see anybody
        everywhere = np.full(image.shape[:2], 255, np.uint8)
        bright = lift_shadows(image, where=everywhere, target=config.lifted_to, least_gamma=config.least_gamma)
        if not np.array_equal(bright, image):
            looks += _look_around(estimator, bright, config=config)
    if masked:
        remedy = "check that the mask is bright on the person and dark elsewhere, or use another picture"
    else:
        remedy = "use another picture, or show where the person is with --reference-mask"
    turns = len(config.turns_degrees)
    if not looks:
        raise PortraitError(f"{name}: nobody was found in it, under any of {turns} turns; {remedy}")
    answers = [look.body for look in looks]
    result = vote(answers, agreement=config.agreement)
    if len(result.winners) < min(config.min_agreeing, turns):
        raise PortraitError(f"{name}: no {config.min_agreeing} of {len(answers)} guesses at the person agree; {remedy}")
    clearest = max(result.winners, key=lambda k: float(answers[k].visibility.mean()))
    turn = looks[clearest].turn
    people = [undo_turn(body, turn) for body in estimator.estimate_all(turn_image(image, turn))]
    groups, others = _most_prominent(result, answers, people, config=config)
    rivals = len(groups) > 1
    if others:
        notes.append(
            f"{others + 1} people were found, the one with the largest silhouette is taken; "
            f"--reference-mask can show another"
        )
    if not (silhouette or rivals):
        return join_bodies(groups[0])
    return _settled(estimator, image, groups, others=others, config=config, notes=notes)


def _look_around(estimator: Estimator, image: NDArray[np.uint8], *, config: PortraitConfig) -> list[_Answer]:
    """What is found under the turns, until the first ones agree so well that no more are needed."""
    height, width = image.shape[:2]
    looks: list[_Answer] = []
    for done, degrees in enumerate(config.turns_degrees):
        if done == config.enough_agreeing == len(looks):
            result = vote([look.body for look in looks], agreement=config.agreement)
            if len(result.winners) == done:
                break
        turn = turn_for(width, height, degrees=degrees)
        body = estimator.estimate(turn_image(image, turn))
        if body is not None:
            looks.append(_Answer(turn, undo_turn(body, turn)))
    return looks


def _most_prominent(
    result: Vote, answers: Sequence[Body], people: Sequence[Body], *, config: PortraitConfig
) -> tuple[list[list[Body]], int]:
    """The answers on the person with the largest silhouette, the groups that contradict each other apart, the
    strongest first; and how many other people of comparable size there are."""
    others: list[tuple[Vote, list[Body]]] = []
    for person in people:
        known = [result, *(one for one, _ in others)]
        # a second body on the same pixels is the same person, taken for another way up
        if any(overlap(person.silhouette, one.body.silhouette) >= 0.5 for one in known):
            continue
        same = [answer for answer in answers if overlap(answer.silhouette, person.silhouette) >= 0.5] or [person]
        others.append((vote(same, agreement=config.agreement), same))
    smallest = config.comparable_size * body_size_pixels(result.body)
    others = [one for one in others if body_size_pixels(one[0].body) >= smallest]
    largest, of = max([(result, list(answers)), *others], key=lambda one: area_pixels(one[0].body.silhouette))
    groups = [[of[k] for k in largest.winners]]
    if largest.runner_up_share >= config.rival_share:
        rival = [of[k] for k in largest.runner_up]
        if overlap(join_bodies(rival).silhouette, largest.body.silhouette) >= 0.5:
            groups.append(rival)
    return groups, len(others)


def _settled(
    estimator: Estimator,
    image: NDArray[np.uint8],
    groups: Sequence[list[Body]],
    *,
    others: int,
    config: PortraitConfig,
    notes: list[str],
) -> Body:
    """The body of the group that stands the closer look best."""
    looks = [look_closer(estimator, image, join_bodies(group), config=config) for group in groups]
    worth = [sum(float(body.visibility.mean()) for body in look) for look in looks]
    best = max(range(len(groups)), key=lambda k: (worth[k], -k))
    rest = max((worth[k] for k in range(len(groups)) if k != best), default=0.0)
    if len(groups) > 1 and not others and rest >= config.doubtful_share * worth[best]:
        notes.append("how the person is turned is not certain, look at the calibration in the result")
    return with_closer(groups[best], looks[best], config=config)


def note_turn(body: Body, *, config: PortraitConfig, notes: list[str]) -> None:
    """Adds a note where the person is turned so far that a user should know."""
    angle = torso_angle_degrees(body)
    if abs(angle) > config.note_turn_degrees:
        way = "upside down, turned" if abs(angle) > 135 else "turned"
        notes.append(f"the person is {way} by {angle:+.0f} degrees (clockwise)")
