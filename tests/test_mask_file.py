"""The user's mask file: what it may be, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tpc_stream.errors import PortraitError
from tpc_stream.people.mask_file import read_mask


def _write(path: Path, pixels: NDArray[np.uint8]) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


def _half() -> NDArray[np.uint8]:
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :15] = 255
    return mask


def test_a_grey_picture_and_a_colour_picture_are_masks_by_their_brightness(tmp_path: Path) -> None:
    mask = _half()
    colour = np.dstack([mask, np.zeros_like(mask), np.zeros_like(mask)])
    for name, pixels in (("grey.png", mask), ("colour.png", colour)):
        assert np.array_equal(read_mask(_write(tmp_path / name, pixels), width=30, height=20), mask)


def test_a_cut_out_is_a_mask_by_its_transparency(tmp_path: Path) -> None:
    mask = _half()
    dark_person = np.dstack([np.full((20, 30, 3), 20, np.uint8), mask])
    assert np.array_equal(read_mask(_write(tmp_path / "cut.png", dark_person), width=30, height=20), mask)
    opaque = np.dstack([np.repeat(mask[..., None], 3, axis=2), np.full_like(mask, 255)])
    assert np.array_equal(read_mask(_write(tmp_path / "opaque.png", opaque), width=30, height=20), mask)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((20, 30), np.uint8), r"bad\.png shows nobody, all of it is below 128"),
        (np.full((20, 30), 127, np.uint8), r"bad\.png shows nobody"),
        (np.full((20, 30), 255, np.uint8), r"bad\.png shows the whole picture"),
        (_half()[:10], r"bad\.png is 30x10, the reference 30x20; give one of the reference's size"),
    ],
)
def test_what_cannot_be_a_mask_is_refused_by_name(tmp_path: Path, pixels: NDArray[np.uint8], words: str) -> None:
    with pytest.raises(PortraitError, match=words):
        read_mask(_write(tmp_path / "bad.png", pixels), width=30, height=20)


def test_files_that_are_no_pictures_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("empty.png", "text.png", "absent.png"):
        with pytest.raises(PortraitError, match=rf"the mask .*{name} cannot be read as a picture"):
            read_mask(tmp_path / name, width=30, height=20)
