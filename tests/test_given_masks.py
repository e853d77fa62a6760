"""Masks from files in the place of estimated silhouettes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bench.drawn_people import STANDING, placed, silhouette
from tests.media import make_picture
from tpc_stream.errors import SourceError
from tpc_stream.fit import fit_frames
from tpc_stream.frame import Body, Frame, PosedFrame, Similarity
from tpc_stream.given_masks import GivenMasks, with_given_silhouettes, with_masks

WIDTH, HEIGHT = 40, 24


def folder_of(path: Path, *names: str, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """Masks whose left columns are bright, as many as the number in the name says."""
    path.mkdir(exist_ok=True)
    for name in names:
        mask = np.zeros((height, width, 3), np.uint8)
        mask[:, : int(name)] = 255
        make_picture(path / f"{name}.png", mask)
    return path


def frames(count: int) -> Iterator[Frame]:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return (Frame(i, Fraction(i, 25), image, 0.0) for i in range(count))


def test_each_frame_gets_the_mask_of_its_index_whatever_the_zeros(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m", "001", "2", "0000", "0003")
    (folder / "notes.txt").write_text("not a mask")
    (folder / "mean.png").write_bytes(b"not a number")
    masks = GivenMasks.of(folder)
    for frame in with_masks(frames(4), masks):
        assert frame.alpha is not None and frame.alpha.shape == (HEIGHT, WIDTH)
        assert (frame.alpha[0] >= 128).sum() == frame.index


def test_a_mask_is_fitted_as_its_frame_is(tmp_path: Path) -> None:
    masks = GivenMasks.of(folder_of(tmp_path / "m", "0", "20"))
    first, last = fit_frames(with_masks(list(frames(21))[::20], masks), width=80, height=80)
    assert first.alpha is not None and last.alpha is not None
    assert not first.alpha.any()
    covered = last.alpha >= 128
    assert covered[16:64, :40].all() and not covered[:, 41:].any() and not covered[:15].any()


def test_the_silhouette_is_replaced_and_nothing_else() -> None:
    points = placed(STANDING, Similarity(0.1, 0.0, (20.0, 12.0)))
    own = Body(points, np.ones(17, np.float32), silhouette(points, width=WIDTH, height=HEIGHT))
    alpha = np.full((HEIGHT, WIDTH), 200, np.uint8)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    posed = [
        PosedFrame(Frame(0, Fraction(0), image, 0.0, alpha), own),
        PosedFrame(Frame(1, Fraction(1), image, 0.0, alpha), None),
    ]
    found, lost = with_given_silhouettes(posed)
    assert found.body is not None and found.body.silhouette is alpha and found.body.keypoints is own.keypoints
    assert lost.body is None, "a mask without keypoints shows no transform"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere is no folder of masks"):
        GivenMasks.of(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no mask"):
        GivenMasks.of(tmp_path / "empty")
    with pytest.raises(SourceError, match=r"07\.png and .*7\.png are both the mask of frame 7"):
        GivenMasks.of(folder_of(tmp_path / "twice", "7", "07"))
    masks = GivenMasks.of(folder_of(tmp_path / "two", "0", "1"))
    with pytest.raises(SourceError, match=r"002\.png is missing"):
        list(with_masks(frames(3), masks))
    small = GivenMasks.of(folder_of(tmp_path / "small", "0", width=20))
    with pytest.raises(SourceError, match=r"0\.png is 20x24, its frame 40x24"):
        list(with_masks(frames(1), small))
    (tmp_path / "two" / "1.png").write_text("no picture")
    with pytest.raises(SourceError, match=r"1\.png"):
        list(with_masks(frames(2), masks))
