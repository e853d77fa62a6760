"""Every real video with every real reference, through the whole pipeline with the default bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator

VIDEOS = ("tpc-official/driving.mp4", "videos/taichi.mp4", "videos/squats.mp4")
REFERENCES = (
    "references/warrior.jpg",
    "references/man_standing.jpg",
    "references/man_cutout.png",
    "references/woman_bent.jpg",
    "tpc-official/reference.png",
    "tpc-official/reference_upright.jpeg",
)
FRAMES = 12


@pytest.mark.samples
@pytest.mark.parametrize("reference", REFERENCES)
def test_the_person_of_every_reference_makes_every_motion(shared: Path, reference: str) -> None:
    with Animator(AnimateOptions(max_frames=FRAMES)) as animator:
        portrait = animator.set_reference(shared / "samples" / reference)
        for video in VIDEOS:
            made = list(animator.animate(shared / "samples" / video))
            assert [frame.index for frame in made] == list(range(FRAMES)), video
            fresh = [frame for frame in made if frame.source.calibration.status == "fresh"]
            assert len(fresh) >= FRAMES - 2, (video, [frame.source.calibration.reason for frame in made])
            assert np.median([frame.source.calibration.iou for frame in fresh]) > 0.25, video
            for frame in fresh:
                assert frame.source.body is not None
                inside = _at(frame.source.body.silhouette, frame.image) > 200
                outside = _at(frame.source.body.silhouette, frame.image) == 0
                outside &= _at(portrait.mask, frame.image) == 0
                background = _at(portrait.image, frame.image).astype(int)
                difference = np.abs(frame.image.astype(int) - background).mean(axis=2)
                # the background is the reference's own where neither person is; where the driving person is, it is not
                assert np.median(difference[outside]) < 12, (video, frame.index)
                assert frame.image[inside].std() > 3, (video, frame.index)


def _at(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The picture at the size of another, by area means."""
    height, width = like.shape[:2]
    factor = picture.shape[0] // height
    shape = (height, factor, width, factor, *picture.shape[2:])
    return picture.reshape(shape).mean(axis=(1, 3))
