"""Prepare the reference picture once: who is in it, how turned, and which pixels are theirs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError, PortraitError
from tpc_stream.fit import DEFAULT_FIT_MODE, FitGeometry, FitMode
from tpc_stream.frame import Body, Portrait
from tpc_stream.people.silhouette import area_pixels, overlap
from tpc_stream.people.turning import turn_for, turn_image, undo_turn
from tpc_stream.people.voting import Vote, body_size_pixels, torso_angle_degrees, vote
from tpc_stream.pose import Estimator, PoseConfig, PoseEstimator
from tpc_stream.warp import screened

logger = logging.getLogger(__name__)

_GREY = 127
"""What stands in for a background that a mask takes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitConfig:
    """How the person of the reference is found. Defaults from trials on the sample references."""

    turns_degrees: tuple[float, ...] = tuple(range(0, 360, 30))
    """The picture is looked at under each of these turns: the estimator fails on turned people, or sees them upside
    down, but not under all turns alike."""
    longest_side_pixels: int = 640
    """The picture is looked at no larger than this: the networks see 224 and 256 pixels of it."""
    agreement: float = 0.1
    """Of the body's size: how near the keypoints of two answers lie to count as the same."""
    min_agreeing: int = 2
    """So many answers must agree, where more than one turn is looked at; one alone may be an illusion."""
    visible_from: float = 0.5
    """[0, 1]: the visibility from which a keypoint counts as seen."""
    comparable_size: float = 0.5
    """Of the person's size: from here on another person is worth a note."""
    note_turn_degrees: float = 30.0
    """A torso turned further than this is worth a note."""
    doubtful_share: float = 0.5
    """Of the winners' support: from here on a disagreeing group of answers is worth a note."""
    pose: PoseConfig = field(default_factory=PoseConfig)

    def __post_init__(self) -> None:
        if not self.turns_degrees or self.longest_side_pixels < 32 or self.min_agreeing < 1:
            raise InputError(
                f"a portrait needs at least one turn, 32 pixels and 1 agreeing answer, got {self.turns_degrees = } "
                f"{self.longest_side_pixels = } {self.min_agreeing = }"
            )


def prepare_portrait(
    image: NDArray[np.uint8],
    *,
    alpha: NDArray[np.uint8] | None = None,
    mask: NDArray[np.uint8] | None = None,
    width: int,
    height: int,
    fit_mode: FitMode = DEFAULT_FIT_MODE,
    name: str = "the reference",
    config: PortraitConfig = PortraitConfig(),
    estimator: Estimator | None = None,
) -> Portrait:
    """The reference on the analysis canvas, with its person's keypoints and mask in pixels of that canvas.

    The person is looked for under several turns of the whole picture; answers that agree win (`voting.vote`), so a
    turned or upside-down person comes out right. The person's mask is `mask`, else `alpha` unless it is opaque
    everywhere, else the agreeing silhouettes joined. With a mask given, only what it shows is looked at. Of several
    people the one with the largest silhouette is taken; a note in the portrait and a logged warning say so.

    Args:
        image: HWC RGB uint8, [0, 255], any size.
        alpha: HW uint8, [0, 255], the picture's own transparency.
        mask: HW uint8, [0, 255], the user's mask of the person, of the picture's size.
        width, height: of the analysis canvas, pixels.
        name: what errors call the picture.
        estimator: one that is open already; the caller closes it. None opens one for this call.

    Errors: PortraitError for nobody found, fewer than 2 visible keypoints, an unusable mask; InputError for another
    layout; PoseError where the estimator cannot run.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"{name} must be HWC RGB uint8, got {image.shape = } {image.dtype = }")
    notes: list[str] = []
    given = _given_mask(alpha, mask, shape=image.shape[:2], name=name, notes=notes)
    shown = image if given is None else screened(image, given, fill=_GREY)
    shown_small = _limited(shown, longest_side_pixels=config.longest_side_pixels)
    with ExitStack() as opened:
        if estimator is None:
            estimator = opened.enter_context(closing(PoseEstimator(config.pose)))
        found = _find_person(estimator, shown_small, name=name, masked=given is not None, config=config, notes=notes)
    visible = int((found.visibility >= config.visible_from).sum())
    if visible < 2:
        raise PortraitError(
            f"{name}: only {visible} of the person's 17 keypoints can be seen, 2 are needed; "
            f"use a picture that shows more of the person"
        )
    _note_turn(found, config=config, notes=notes)
    fit = FitGeometry.of(
        source_width=image.shape[1], source_height=image.shape[0], width=width, height=height, mode=fit_mode
    )
    silhouette = found.silhouette if given is None else given
    source_from_small = np.array(image.shape[1::-1]) / np.array(shown_small.shape[1::-1])
    placed = _placed(silhouette, width=width, height=height, mode=fit_mode)
    if area_pixels(placed) == 0:
        raise PortraitError(f"{name}: nothing of the person lies on the {width}x{height} canvas; use --fit pad")
    body = Body(
        keypoints=fit.to_canvas(found.keypoints * source_from_small).astype(np.float32),
        visibility=found.visibility,
        silhouette=placed,
    )
    for note in notes:
        logger.warning("%s: %s", name, note)
    return Portrait(image=fit.apply(image), mask=placed, body=body, notes=tuple(notes))


def _given_mask(
    alpha: NDArray[np.uint8] | None,
    mask: NDArray[np.uint8] | None,
    *,
    shape: tuple[int, ...],
    name: str,
    notes: list[str],
) -> NDArray[np.uint8] | None:
    """The mask that comes with the picture; None where there is none and it must be estimated."""
    planes = {"mask": mask, "alpha channel": alpha}
    for kind, plane in planes.items():
        if plane is not None and (plane.shape != shape or plane.dtype != np.uint8):
            size = f"{plane.shape[1]}x{plane.shape[0]} {plane.dtype}" if plane.ndim == 2 else str(plane.shape)
            raise PortraitError(
                f"{name}: its {kind} is {size}, the picture {shape[1]}x{shape[0]}; "
                f"give one of the picture's size, uint8"
            )
    if alpha is not None and int(alpha.min()) == 255:
        planes["alpha channel"] = None  # opaque everywhere: it says nothing
    if mask is not None and planes["alpha channel"] is not None:
        notes.append("the given mask is used, not the picture's own alpha channel")
    for kind, plane in planes.items():
        if plane is not None:
            if area_pixels(plane) == 0:
                raise PortraitError(f"{name}: its {kind} shows nobody, all is below 128; give another one")
            return plane
    return None


def _limited(image: NDArray[np.uint8], *, longest_side_pixels: int) -> NDArray[np.uint8]:
    """The picture, made smaller if need be."""
    scale = longest_side_pixels / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _find_person(
    estimator: Estimator, image: NDArray[np.uint8], *, name: str, masked: bool, config: PortraitConfig, notes: list[str]
) -> Body:
    """The person in `image`, in its pixels; adds what a user should know to `notes`."""
    height, width = image.shape[:2]
    turns = [turn_for(width, height, degrees=degrees) for degrees in config.turns_degrees]
    answers: list[Body] = []
    turns_of_answers = []
    for turn in turns:
        body = estimator.estimate(turn_image(image, turn))
        if body is not None:
            answers.append(undo_turn(body, turn))
            turns_of_answers.append(turn)
    needed = min(config.min_agreeing, len(turns))
    remedy = "use another picture" + ("" if masked else ", or show where the person is with --reference-mask")
    if not answers:
        raise PortraitError(f"{name}: nobody was found in it, under any of {len(turns)} turns; {remedy}")
    result = vote(answers, agreement=config.agreement)
    if len(result.winners) < needed:
        raise PortraitError(f"{name}: no {needed} of {len(answers)} guesses at the person agree; {remedy}")
    clearest = max(result.winners, key=lambda k: float(answers[k].visibility.mean()))
    turn = turns_of_answers[clearest]
    people = [undo_turn(body, turn) for body in estimator.estimate_all(turn_image(image, turn))]
    result, others = _most_prominent(result, answers, people, config=config)
    if others:
        notes.append(
            f"{others + 1} people were found, the one with the largest silhouette is taken; "
            f"--reference-mask can show another"
        )
    elif result.runner_up_share >= config.doubtful_share:
        notes.append("how the person is turned is not certain, look at the calibration in the result")
    return result.body


def _most_prominent(
    result: Vote, answers: Sequence[Body], people: Sequence[Body], *, config: PortraitConfig
) -> tuple[Vote, int]:
    """The vote for the person with the largest silhouette, and how many others of comparable size there are."""
    others: list[Vote] = []
    for person in people:
        known = [result, *others]
        # a second body on the same pixels is the same person, taken for another way up
        if any(overlap(person.silhouette, one.body.silhouette) >= 0.5 for one in known):
            continue
        same = [answer for answer in answers if overlap(answer.silhouette, person.silhouette) >= 0.5]
        others.append(vote(same or [person], agreement=config.agreement))
    smallest = config.comparable_size * body_size_pixels(result.body)
    others = [other for other in others if body_size_pixels(other.body) >= smallest]
    largest = max([result, *others], key=lambda one: area_pixels(one.body.silhouette))
    return largest, len(others)


def _note_turn(body: Body, *, config: PortraitConfig, notes: list[str]) -> None:
    angle = torso_angle_degrees(body)
    if abs(angle) > config.note_turn_degrees:
        way = "upside down, turned" if abs(angle) > 135 else "turned"
        notes.append(f"the person is {way} by {angle:+.0f} degrees (clockwise)")


def _placed(silhouette: NDArray[np.uint8], *, width: int, height: int, mode: FitMode) -> NDArray[np.uint8]:
    """The silhouette on the canvas; nobody stands in the padding."""
    fit = FitGeometry.of(
        source_width=silhouette.shape[1], source_height=silhouette.shape[0], width=width, height=height, mode=mode
    )
    fitted = fit.apply(silhouette)
    placed = np.zeros_like(fitted)
    placed[fit.inside] = fitted[fit.inside]
    return placed
