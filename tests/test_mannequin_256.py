"""The bundle of 256 pixels beside the default: as large as it says, the same person, the reference's background."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import tpc_stream
from tpc_stream.bundle import open_bundle
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import make_plan
from tpc_stream.source import read_picture

FRAMES = 12
OPTIONS = AnimateOptions(size=(256, 256), max_frames=FRAMES, threads=1)
Pictures = NDArray[np.uint8]


def made(bundle: str, reference: Path, motion: Path, options: AnimateOptions = OPTIONS) -> Pictures:
    chosen = replace(options, bundle=bundle)
    return np.stack([f.image for f in tpc_stream.animate(reference, motion, options=chosen)])


@pytest.fixture(scope="module")
def fine(reference: Path, motion: Path) -> Pictures:
    return made("mannequin-256", reference, motion)


@pytest.fixture(scope="module")
def coarse(reference: Path, motion: Path) -> Pictures:
    return made("mannequin", reference, motion)


def sharpness(pictures: Pictures) -> float:
    """Mean strength of the edges."""
    return float(np.mean([np.abs(cv2.Laplacian(p.astype(np.float32), cv2.CV_32F)).mean() for p in pictures]))


def test_it_draws_the_default_s_person_with_more_detail(fine: Pictures, coarse: Pictures) -> None:
    assert fine.shape == coarse.shape == (FRAMES, 256, 256, 3)
    halved = [[cv2.resize(p, (128, 128), interpolation=cv2.INTER_AREA) for p in a] for a in (fine, coarse)]
    apart = np.abs(np.array(halved[0], np.float32) - halved[1]).mean()
    moved = np.abs(np.array(halved[1][0], np.float32) - halved[1][-1]).mean()
    assert 0 < apart < moved, "the same person in the same pose is nearer than the same one in another pose"
    assert sharpness(fine) > sharpness(coarse)


def test_its_background_is_the_reference_s_own(fine: Pictures, reference: Path) -> None:
    picture, _ = read_picture(reference)
    small = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    corner = np.abs(fine[:, :32, :32].astype(int) - small[:32, :32]).mean()
    assert corner < 4


def test_frames_see_their_window(fine: Pictures, reference: Path, motion: Path) -> None:
    alone = made("mannequin-256", reference, motion, replace(OPTIONS, window=1, overlap=0))
    assert np.abs(alone.astype(int) - fine).max() > 8


def test_it_is_for_windows_alone_and_says_so() -> None:
    plan = make_plan(open_bundle("mannequin-256"), replace(OPTIONS, schedule="diagonal"))
    assert (plan.denoise.schedule, plan.denoise.window, plan.denoise.overlap) == ("window", 8, 4)
    assert "not trained for mixed noise levels" in plan.note
