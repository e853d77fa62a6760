"""What the calibration benchmark searches: drawn people, or the official sample with its authors' masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bench.drawn_people import STANDING, bent, placed, silhouette
from tpc_stream.frame import Body, Frame, Similarity

SEEN = np.ones(17, np.float32)
"""All points count as visible: what is measured is 17 common points."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """One reference and its frames, on one canvas."""

    name: str
    reference: Body
    frames: list[Body]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        height, width = self.reference.silhouette.shape
        return width, height


def drawn(size: int, frames: int) -> Inputs:
    """People of several poses, who turn and change their distance."""
    factor, centre = size / 256, (size / 2, size / 2)
    own = placed(STANDING, Similarity(0.9 * factor, -0.6, centre))
    people = []
    for i, scale in enumerate(np.random.default_rng(0).uniform(0.6, 1.2, frames)):
        pose = bent(STANDING, seed=i, pixels=15)
        people.append(placed(pose, Similarity(float(scale) * factor, i / 9, centre)))
    return Inputs(
        "drawn people",
        Body(own, SEEN, silhouette(own, width=size, height=size)),
        [Body(p, SEEN, silhouette(p, width=size, height=size)) for p in people],
    )


def official(samples: Path, frames: int, *, all_seen: bool) -> Inputs:
    """The authors' reference and driving video, 512 x 512, with their masks and MediaPipe's points.

    `all_seen`: every point counts as visible, for timing; else as the estimator says, for the IoU.
    """
    from tpc_stream.portrait import prepare_portrait
    from tpc_stream.pose import PoseEstimator, estimate_poses

    folder = samples / "tpc-official"
    picture = cv2.cvtColor(_read(folder / "reference.png", cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.uint8)
    mask = _read(folder / "reference_mask.png", cv2.IMREAD_GRAYSCALE)

    def video() -> Iterator[Frame]:
        with av.open(str(folder / "driving.mp4")) as container:
            for i, decoded in enumerate(container.decode(video=0)):
                if i == frames:
                    return
                yield Frame(i, Fraction(i, 30), decoded.to_ndarray(format="rgb24"), 0.0)

    def body(found: Body, silhouette: NDArray[np.uint8]) -> Body:
        return Body(found.keypoints, SEEN if all_seen else found.visibility, silhouette)

    with PoseEstimator() as estimator:
        portrait = prepare_portrait(picture, mask=mask, width=512, height=512, estimator=estimator)
    people = []
    for item in estimate_poses(video()):
        if item.body is not None:
            theirs = _read(folder / "target_masks" / f"{item.frame.index:03d}.png", cv2.IMREAD_GRAYSCALE)
            people.append(body(item.body, theirs))
    return Inputs("official sample", body(portrait.body, portrait.mask), people)


def _read(path: Path, flags: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise FileNotFoundError(f"{path} is no picture")
    return np.asarray(picture, np.uint8)
