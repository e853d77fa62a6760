"""Steadying on real clips, to the bars that its defaults were chosen for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import steadying
from tpc_stream.fit import fit_frames
from tpc_stream.portrait import prepare_portrait
from tpc_stream.pose import PoseEstimator, estimate_poses
from tpc_stream.source import read_frames, read_picture

SIDE = 256


@pytest.mark.slow
@pytest.mark.samples
@pytest.mark.parametrize("reference", ["tpc-official/reference_upright.jpeg", "references/man_standing.jpg"])
def test_steadying_halves_the_jitter_and_keeps_the_scale(shared: Path, reference: str) -> None:
    samples = shared / "samples"
    image, alpha = read_picture(samples / reference)
    with PoseEstimator() as estimator:
        portrait = prepare_portrait(image, alpha=alpha, name=reference, width=SIDE, height=SIDE, estimator=estimator)

    def runs(video: str) -> tuple[steadying.Result, steadying.Result]:
        frames = read_frames(str(samples / "videos" / video))
        posed = list(estimate_poses(fit_frames(frames, width=SIDE, height=SIDE, mode="pad")))
        pure, steadied = (steadying.measure(video, reference, mode, portrait, posed)[0] for mode in steadying.MODES)
        return pure, steadied

    pure, steadied = runs("taichi.mp4")
    assert steadied.jitter_pixels <= 0.5 * pure.jitter_pixels
    assert steadied.mean_iou >= pure.mean_iou - 0.005
    pure, steadied = runs("squats.mp4")
    assert steadied.scale_ratio < min(0.25, pure.scale_ratio)
