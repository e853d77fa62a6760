"""What is counted is what the warp shows."""

from __future__ import annotations

import numpy as np
import pytest

from bench.drawn_people import STANDING, placed, silhouette
from tpc_stream.frame import Affine, Similarity, Transform
from tpc_stream.silhouettes import ReferenceSilhouette, TargetSilhouette
from tpc_stream.warp import Warper

MASK = silhouette(placed(STANDING, Similarity(0.9, 0.5, (120.0, 130.0))))
TARGET = silhouette(placed(STANDING, Similarity(0.6, -0.4, (90.0, 80.0))), width=170, height=150)
TRANSFORMS = [
    Similarity(1.0, 0.0, (0.0, 0.0)),
    Similarity(1.0, 0.0, (-40.25, 11.5)),
    Similarity(0.7, -0.9, (-20.0, 110.0)),
    Similarity(0.33, 2.0, (100.0, 40.0)),
    Similarity(0.13, 0.3, (70.0, 50.0)),
    Similarity(2.5, 1.1, (100.0, -250.0)),
    Similarity(1.0, np.pi / 2, (200.0, 0.0)),
    Similarity(1.0, 0.0, (1e5, 0.0)),
    Affine(np.array([[0.8, 0.3, -20.0], [-0.1, 0.6, 30.0]])),
    Affine(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 60.0]])),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_the_overlap_is_that_of_the_warped_mask(transform: Transform) -> None:
    reference = ReferenceSilhouette.of(MASK, counts=(32,), threshold=128)
    target = TargetSilhouette.of(TARGET, threshold=128)
    warped = Warper.of(MASK, (0,)).warp(transform, width=170, height=150) >= 128
    there = TARGET >= 128
    expected = (warped & there).sum() / (warped | there).sum()
    # versions of OpenCV round coordinates differently, by 1/32 of a pixel at most
    assert target.iou(reference, transform) == pytest.approx(expected, abs=2e-3)


def test_a_mask_that_touches_every_edge_is_counted_whole() -> None:
    full = np.full((40, 30), 255, np.uint8)
    reference, target = (
        ReferenceSilhouette.of(full, counts=(32,), threshold=128),
        TargetSilhouette.of(full, threshold=128),
    )
    assert target.iou(reference, TRANSFORMS[0]) == 1.0
    assert target.iou(reference, Similarity(1.0, 0.0, (15.0, 0.0))) == pytest.approx(0.5)
