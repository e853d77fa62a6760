"""Prepare the reference picture once: who is in it, how turned, and which pixels are theirs."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing

import cv2
import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import InputError, PortraitError
from tpc_stream.fit import DEFAULT_FIT_MODE, FitGeometry, FitMode
from tpc_stream.frame import Body, Portrait
from tpc_stream.people.estimator import Estimator
from tpc_stream.people.finding import find_person, note_turn
from tpc_stream.people.portrait_config import PortraitConfig
from tpc_stream.people.segmenter import Segmenter
from tpc_stream.people.silhouette import area_pixels
from tpc_stream.pose import PoseEstimator
from tpc_stream.warp import screened

__all__ = ["PortraitConfig", "prepare_portrait"]

logger = logging.getLogger(__name__)

_DEFAULTS = PortraitConfig()

_GREY = 127
"""What stands in for a background that a mask takes away."""


def prepare_portrait(
    image: NDArray[np.uint8],
    *,
    alpha: NDArray[np.uint8] | None = None,
    mask: NDArray[np.uint8] | None = None,
    width: int,
    height: int,
    fit_mode: FitMode = DEFAULT_FIT_MODE,
    name: str = "the reference",
    config: PortraitConfig = _DEFAULTS,
    estimator: Estimator | None = None,
    segmenter: Segmenter | None = None,
) -> Portrait:
    """The reference on the analysis canvas, with its person's keypoints and mask in pixels of that canvas.

    The person is looked for under several turns of the whole picture; answers that agree win (`voting.vote`), so a
    turned or upside-down person comes out right. The person's mask is `mask`, else `alpha` unless it is opaque
    everywhere, else what `segmenter` cuts out, else the silhouettes of a closer look joined. With a mask given, only
    what it shows is looked at. Of several people the one with the largest silhouette is taken; a note in the portrait
    and a logged warning say so.

    Args:
        image: HWC RGB uint8, [0, 255], any size.
        alpha: HW uint8, [0, 255], the picture's own transparency.
        mask: HW uint8, [0, 255], the user's mask of the person, of the picture's size.
        width, height: of the analysis canvas, pixels.
        name: what errors call the picture.
        estimator: one that is open already; the caller closes it. None opens one for this call.
        segmenter: SAM, which is asked with the keypoints; the caller closes it.

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
        found = find_person(
            estimator,
            shown_small,
            name=name,
            masked=given is not None,
            silhouette=given is None and segmenter is None,
            config=config,
            notes=notes,
        )
    visible = int((found.visibility >= config.visible_from).sum())
    if visible < 2:
        raise PortraitError(
            f"{name}: only {visible} of the person's 17 keypoints can be seen, 2 are needed; "
            f"use a picture that shows more of the person"
        )
    note_turn(found, config=config, notes=notes)
    fit = FitGeometry.of(
        source_width=image.shape[1], source_height=image.shape[0], width=width, height=height, mode=fit_mode
    )
    source_from_small = np.array(image.shape[1::-1]) / np.array(shown_small.shape[1::-1])
    keypoints = found.keypoints * source_from_small
    silhouette = found.silhouette if given is None else given
    if given is None and segmenter is not None:
        silhouette = segmenter.mask(
            image, keypoints=keypoints.astype(np.float32), visibility=found.visibility, name=name
        )
    placed = _placed(silhouette, width=width, height=height, mode=fit_mode)
    if area_pixels(placed) == 0:
        raise PortraitError(f"{name}: nothing of the person lies on the {width}x{height} canvas; use --fit pad")
    body = Body(
        keypoints=fit.to_canvas(keypoints).astype(np.float32),
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
    if alpha is not None and int(alpha.min()) >= 128:
        planes["alpha channel"] = None  # opaque everywhere: it says nothing
    if mask is not None and planes["alpha channel"] is not None:
        notes.append("the given mask is used, not the picture's own alpha channel")
    for kind, plane in planes.items():
        if plane is not None:
            if area_pixels(plane) == 0:
                raise PortraitError(f"{name}: its {kind} shows nobody, all is below 128; give another one")
            if int(plane.min()) >= 128:
                raise PortraitError(
                    f"{name}: its {kind} shows the whole picture, none of it is below 128; give one that is dark "
                    f"outside the person, or none"
                )
            return plane
    return None


def _limited(image: NDArray[np.uint8], *, longest_side_pixels: int) -> NDArray[np.uint8]:
    """The picture, made smaller if need be."""
    scale = longest_side_pixels / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _placed(silhouette: NDArray[np.uint8], *, width: int, height: int, mode: FitMode) -> NDArray[np.uint8]:
    """The silhouette on the canvas; nobody stands in the padding."""
    fit = FitGeometry.of(
        source_width=silhouette.shape[1], source_height=silhouette.shape[0], width=width, height=height, mode=mode
    )
    fitted = fit.apply(silhouette)
    placed = np.zeros_like(fitted)
    placed[fit.inside] = fitted[fit.inside]
    return placed
