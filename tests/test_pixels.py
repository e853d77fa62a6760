"""Decoded pictures to RGB: each colour matrix, range and depth by its formula."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media import bars, make_video, read_bars
from tpc_stream.reading.orientation import Orientation
from tpc_stream.reading.pixels import PixelReader
from tpc_stream.source import probe, read_frames

BT709, BT601, BT2020, UNSPECIFIED = 1, 5, 9, 2
LIMITED, FULL = 1, 2
WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
LUMA, BLUE, RED = 120, 90, 180


def by_formula(matrix: int, value_range: int) -> np.ndarray:
    """RGB of (LUMA, BLUE, RED), from the definition of the matrices (ITU-R BT.601, BT.709, BT.2020)."""
    kr, kb = WEIGHTS[matrix]
    y = (LUMA - 16) / 219 if value_range == LIMITED else LUMA / 255
    b, r = (np.array([BLUE, RED]) - 128) / (224 if value_range == LIMITED else 255)
    red, blue = y + 2 * (1 - kr) * r, y + 2 * (1 - kb) * b
    return np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]) * 255


def flat(width: int, height: int, matrix: int, value_range: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pix_fmt)
    deep = "10" in pix_fmt
    for plane, value in zip(frame.planes, (LUMA, BLUE, RED), strict=True):
        row = np.full(plane.buffer_size // (2 if deep else 1), value * 4 if deep else value, "<u2" if deep else "u1")
        plane.update(row.tobytes())
    frame.colorspace, frame.color_range = matrix, value_range
    return frame


@pytest.mark.parametrize("matrix", [BT709, BT601, BT2020])
@pytest.mark.parametrize("value_range", [LIMITED, FULL])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p10le"])
def test_tagged_video_follows_its_tags(matrix: int, value_range: int, pix_fmt: str) -> None:
    image, alpha = PixelReader(codec="h264").read(flat(33, 17, matrix, value_range, pix_fmt))
    assert image.shape == (17, 33, 3) and image.dtype == np.uint8 and alpha is None
    assert np.abs(image - by_formula(matrix, value_range)).max() <= 1.5


@pytest.mark.parametrize(
    ("width", "height", "codec", "matrix"),
    [
        (1280, 16, "h264", BT709),
        (16, 720, "h264", BT709),
        (1024, 576, "h264", BT601),
        (1920, 16, "mjpeg", BT601),
        (1920, 16, "webp", BT601),
    ],
)
def test_untagged_pictures_follow_the_players_rule(width: int, height: int, codec: str, matrix: int) -> None:
    image, _ = PixelReader(codec=codec).read(flat(width, height, UNSPECIFIED, LIMITED))
    assert np.abs(image - by_formula(matrix, LIMITED)).max() <= 1.5


def test_tags_survive_a_file(tmp_path: Path) -> None:
    colour = np.full((64, 96, 3), (200, 60, 30), np.uint8)
    for matrix in (BT709, BT601):
        for value_range in (LIMITED, FULL):
            path = make_video(tmp_path / f"{matrix}{value_range}.mp4", frames=2, draw=lambda _: colour,
                              colorspace=matrix, color_range=value_range)  # fmt: skip
            image = next(read_frames(path)).image
            assert np.abs(image.astype(int) - colour).max() <= 4


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("a.mp4", "libx265", "yuv420p10le", (96, 64)),
        ("a.mkv", "ffv1", "yuv422p10le", (96, 64)),
        ("a.mkv", "ffv1", "yuv420p", (97, 65)),
        ("a.mp4", "libx264", "yuv444p", (99, 33)),
        ("a.mkv", "ffv1", "gray", (96, 64)),
        ("a.webm", "libvpx-vp9", "yuv420p", (97, 65)),
    ],
)
def test_deep_odd_and_grey_videos_read(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    quiet = {"libx265": {"x265-params": "log-level=none"}, "libvpx-vp9": {"deadline": "realtime"}}.get(codec)
    path = make_video(tmp_path / name, frames=5, width=size[0], height=size[1], codec=codec, pix_fmt=pix_fmt,
                      codec_options=quiet)  # fmt: skip
    frames = list(read_frames(path))
    assert [read_bars(f.image) for f in frames] == list(range(5))
    assert {f.image.shape for f in frames} == {(size[1], size[0], 3)}
    assert all(f.alpha is None for f in frames)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("a.mov", "qtrle", "argb"), ("a.webm", "libvpx-vp9", "yuva420p")]
)
def test_alpha_comes_along(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    def draw(index: int) -> np.ndarray:
        cover = np.full((64, 96, 1), 255, np.uint8)
        cover[:, :40] = 0
        return np.concatenate([bars(index), cover], axis=2)

    path = make_video(tmp_path / name, frames=5, codec=codec, pix_fmt=pix_fmt, draw=draw, draw_format="rgba")
    assert probe(path).has_alpha
    frames = list(read_frames(path))
    assert [read_bars(f.image) for f in frames] == list(range(5))
    for frame in frames:
        assert frame.alpha is not None and frame.alpha.shape == (64, 96)
        assert frame.alpha[:, :36].max() <= 8 and frame.alpha[:, 44:].min() >= 247


def test_wide_pixels_become_square() -> None:
    frame = flat(64, 48, BT601, LIMITED)
    image, _ = PixelReader(codec="h264", pixel_aspect=Fraction(3, 2)).read(frame)
    assert image.shape == (48, 96, 3)
    for odd in (Fraction(100), Fraction(1001, 1000), Fraction(0), None):
        assert PixelReader(codec="h264", pixel_aspect=odd).read(frame)[0].shape == (48, 64, 3)


def test_the_orientation_is_applied_to_image_and_alpha() -> None:
    frame = av.VideoFrame.from_ndarray(np.dstack([np.arange(24, dtype=np.uint8).reshape(4, 6)] * 4), format="rgba")
    image, alpha = PixelReader(codec="png", orientation=Orientation(transpose=True, flip_x=True)).read(frame)
    expected = np.rot90(np.arange(24).reshape(4, 6), -1)
    assert alpha is not None
    np.testing.assert_array_equal(image[..., 1], expected)
    np.testing.assert_array_equal(alpha, expected)
