"""Which way up: the eight orientations, from videos' matrices and from stills' EXIF blocks."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.media import make_picture, make_video
from tpc_stream.reading.orientation import UPRIGHT, Orientation, orientation_of_file, orientation_of_matrix
from tpc_stream.source import probe, read_frames, read_picture

QUADRANTS = np.array([[(200, 30, 40), (40, 60, 220)], [(30, 180, 60), (230, 230, 230)]], np.uint8)
PICTURE = QUADRANTS.repeat(32, 0).repeat(48, 1)

# What an upright viewer does to the stored picture, by the EXIF standard's table of row 0 and column 0.
EXIF = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


def quadrants(image: np.ndarray) -> np.ndarray:
    """[2, 2]: which of the four colours stands in each quarter."""
    h, w = image.shape[:2]
    seen = image[[h // 4, 3 * h // 4]][:, [w // 4, 3 * w // 4]].astype(int)
    return np.abs(seen[:, :, None] - QUADRANTS.reshape(4, 3)).sum(-1).argmin(-1)


def exif(orientation: int, order: str) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    other = struct.pack(f"{order}HHII", 0x010E, 2, 4, 0)
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(f"{order}IH", 8, 2) + other + entry + bytes(4)


def with_exif(path: Path, block: bytes) -> Path:
    data = path.read_bytes()
    if path.suffix == ".jpg":
        body = b"Exif\0\0" + block
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    else:
        chunk = b"eXIf" + block
        data = data[:33] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_stills_are_laid_upright(tmp_path: Path, suffix: str, order: str, orientation: int) -> None:
    path = with_exif(make_picture(tmp_path / f"a.{suffix}", PICTURE), exif(orientation, order))
    image, alpha = read_picture(path)
    expected = EXIF[orientation](PICTURE)
    assert image.shape == expected.shape and alpha is None
    np.testing.assert_array_equal(quadrants(image), quadrants(expected))


def test_alpha_turns_with_its_picture(tmp_path: Path) -> None:
    cover = np.zeros((64, 96, 1), np.uint8)
    cover[:32, :48] = 255
    path = with_exif(make_picture(tmp_path / "a.png", np.concatenate([PICTURE, cover], 2)), exif(5, ">"))
    _, alpha = read_picture(path)
    np.testing.assert_array_equal(alpha, EXIF[5](cover[..., 0]))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_videos_are_laid_upright(tmp_path: Path, degrees: int, mirror: bool) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2, rotation=degrees, mirror=mirror, draw=lambda _: PICTURE)
    expected = np.rot90(PICTURE, degrees // 90)
    expected = np.fliplr(expected) if mirror else expected
    image = next(read_frames(path)).image
    assert image.shape == expected.shape
    np.testing.assert_array_equal(quadrants(image), quadrants(expected))
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    # The words of the info lead to the same picture: first the mirror, then the clockwise turn.
    told = np.rot90(np.fliplr(PICTURE) if info.mirrored else PICTURE, -info.rotation_degrees // 90)
    np.testing.assert_array_equal(quadrants(told), quadrants(expected))


def test_a_crooked_matrix_goes_to_the_nearest_right_angle() -> None:
    c, s = (round(65536 * f(np.deg2rad(80))) for f in (np.cos, np.sin))
    assert orientation_of_matrix((c, s, 0, -s, c, 0, 0, 0, 1 << 30)) == Orientation(transpose=True, flip_x=True)
    assert orientation_of_matrix((65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)) == UPRIGHT


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II*\0", b"II*\0\xff\xff\xff\xff", b"RIFF\0\0\0\0WEBP",
     b"\x89PNG\r\n\x1a\n" + b"\xff" * 20],
)  # fmt: skip
def test_files_without_a_usable_block_say_nothing(data: bytes) -> None:
    assert orientation_of_file(data) is None
