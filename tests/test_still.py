"""The reference picture, one picture held as a film, and picture files as a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media import bars, make_picture, make_video, read_bars
from tpc_stream.errors import InputError, SourceError
from tpc_stream.source import SourceOptions, SourceReport, probe, read_frames, read_picture

RGB = np.full((40, 60, 3), (200, 30, 40), np.uint8)
RGB[:, 30:] = (40, 60, 220)


def write(path: Path, image: np.ndarray, **options: int) -> Path:
    """Through OpenCV, an encoder that is not FFmpeg's; RGB(A) in."""
    code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(image.shape[2] if image.ndim == 3 else 1)
    assert cv2.imwrite(str(path), image if code is None else cv2.cvtColor(image, code))
    return path


def write_frame(path: Path, array: np.ndarray, array_format: str, pix_fmt: str) -> Path:
    """Through FFmpeg's PNG encoder, in the pixel format asked for."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = array.shape[:2]
        stream.pix_fmt = pix_fmt
        container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format=array_format)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_common_formats_read(tmp_path: Path, suffix: str) -> None:
    image, alpha = read_picture(write(tmp_path / f"a.{suffix}", RGB))
    assert image.dtype == np.uint8 and image.flags.c_contiguous and alpha is None
    # The seam may bleed where the chroma is coarser than the picture.
    assert np.abs(image.astype(int) - RGB)[:, [*range(24), *range(36, 60)]].max() <= 6


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_alpha_is_kept(tmp_path: Path, suffix: str) -> None:
    rgba = np.dstack([RGB, np.full((40, 60), 100, np.uint8)])
    image, alpha = read_picture(write(tmp_path / f"a.{suffix}", rgba))
    assert alpha is not None and (alpha == 100).all()
    assert np.abs(image.astype(int) - RGB).max() <= 6
    assert probe(tmp_path / f"a.{suffix}").has_alpha


def test_sixteen_bits_and_grey_read(tmp_path: Path) -> None:
    image, _ = read_picture(write(tmp_path / "deep.png", RGB.astype(np.uint16) * 257))
    assert np.abs(image.astype(int) - RGB).max() <= 1
    deep = np.dstack([RGB, np.full((40, 60), 100, np.uint8)]).astype(np.uint16) * 257
    image, alpha = read_picture(write(tmp_path / "deep_alpha.png", deep))
    assert np.abs(image.astype(int) - RGB).max() <= 1
    assert alpha is not None and np.abs(alpha.astype(int) - 100).max() <= 1
    for name in ("grey.png", "grey.jpg"):
        image, _ = read_picture(write(tmp_path / name, RGB[..., 0]))
        assert np.abs(image.astype(int) - RGB[..., :1]).max() <= 3
    image, alpha = read_picture(write_frame(tmp_path / "grey_alpha.png", RGB[..., :2].copy().view(np.uint16)[..., 0],
                                            "gray16le", "gray16be"))  # fmt: skip
    assert image.shape == (40, 60, 3)


@pytest.mark.parametrize("see_through", [False, True])
def test_a_palette_has_alpha_only_if_it_uses_it(tmp_path: Path, see_through: bool) -> None:
    palette = np.zeros((256, 4), np.uint8)
    palette[:2] = (255, 200, 30, 40), (0 if see_through else 255, 40, 60, 220)
    packed = av.VideoFrame(60, 40, "pal8")
    rows = np.zeros((40, packed.planes[0].line_size), np.uint8)
    rows[:, 30:60] = 1
    packed.planes[0].update(rows.tobytes())
    packed.planes[1].update(palette[:, ::-1].tobytes().ljust(packed.planes[1].buffer_size, b"\0"))
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 60, 40, "pal8"
        container.mux(stream.encode(packed))
        container.mux(stream.encode(None))
    image, alpha = read_picture(path)
    np.testing.assert_array_equal(image, RGB)
    assert (alpha is None) == (not see_through)
    if alpha is not None:
        assert (alpha[:, :30] == 255).all() and not alpha[:, 30:].any()


def test_a_cmyk_jpeg_reads(tmp_path: Path) -> None:
    from PIL import Image as pillow

    pillow.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image, alpha = read_picture(tmp_path / "a.jpg")
    assert alpha is None
    assert np.abs(image.astype(int) - RGB)[:, [*range(24), *range(36, 60)]].max() <= 6


def test_a_video_as_reference_gives_its_first_frame(tmp_path: Path) -> None:
    image, alpha = read_picture(make_video(tmp_path / "a.mp4", frames=20, draw=lambda k: bars(k + 5)))
    assert read_bars(image) == 5 and alpha is None


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "text.png", "empty.png"])
def test_damaged_pictures_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = write(tmp_path / f"whole{path.suffix}", RGB).read_bytes()
    path.write_bytes({"text.png": b"no picture\n" * 9, "empty.png": b""}.get(name, data[:30]))
    with pytest.raises(SourceError) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_one_picture_is_held_for_as_long_as_asked(tmp_path: Path) -> None:
    path = make_picture(tmp_path / "a.png", bars(9))
    assert probe(path).kind == "image" and probe(path).frame_count_estimate is None
    frames = list(read_frames(path, end_seconds=1))
    assert [f.pts_seconds for f in frames] == [Fraction(k, 25) for k in range(25)]
    assert {read_bars(f.image) for f in frames} == {9}
    assert probe(path, end_seconds=1).frame_count_estimate == 25
    assert len(list(read_frames(path, max_frames=3, end_seconds=10))) == 3
    held = read_frames(path, start_seconds=1, end_seconds=2, options=SourceOptions(image_rate=10))
    assert [f.pts_seconds for f in held] == [Fraction(k, 10) for k in range(10)]
    with pytest.raises(InputError, match="never ends"):
        next(read_frames(path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """frame_8.png to frame_12.png: by letters, 10 would come before 8."""
    for k in range(8, 13):
        make_picture(tmp_path / f"frame_{k}.png", bars(k))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.mark.parametrize("name", ["", "frame_%d.png", "frame_*.png", "frame_?*.png"])
def test_picture_files_are_a_film(folder: Path, name: str) -> None:
    path = str(folder / name)
    info = probe(path)
    assert (info.kind, info.frame_count_estimate, info.rate, info.width) == ("images", 5, 25, 96)
    frames = list(read_frames(path))
    assert [read_bars(f.image) for f in frames] == [8, 9, 10, 11, 12]
    assert [f.pts_seconds for f in frames] == [Fraction(k, 25) for k in range(5)]
    part = read_frames(path, start_seconds=Fraction(1, 25), end_seconds=Fraction(4, 25), max_frames=2)
    assert [(f.index, read_bars(f.image), f.pts_seconds) for f in part] == [(0, 9, 0), (1, 10, Fraction(1, 25))]
    assert len(list(read_frames(path, start_seconds=Fraction(1, 25), end_seconds=Fraction(4, 25)))) == 3


def test_an_absent_number_and_a_damaged_file_leave_a_gap(folder: Path) -> None:
    (folder / "frame_10.png").unlink()
    (folder / "frame_9.png").write_bytes(b"damaged")
    report = SourceReport()
    frames = list(read_frames(folder / "frame_%d.png", report=report))
    assert [(f.index, f.pts_seconds * 25) for f in frames] == [(0, 0), (1, 3), (2, 4)]
    assert (report.corrupt_packets, report.frames_missing) == (1, 2)
    assert len(report.warnings) == 2


def test_padded_numbers_must_fit_their_pattern(tmp_path: Path) -> None:
    make_picture(tmp_path / "f_0001.png", bars(1))
    make_picture(tmp_path / "f_2.png", bars(2))
    assert [read_bars(f.image) for f in read_frames(tmp_path / "f_%04d.png")] == [1]


@pytest.mark.parametrize("name", ["nothing", "nothing/f_%03d.png", "f_%03d.png", "f_*.png"])
def test_an_empty_sequence_is_refused(tmp_path: Path, name: str) -> None:
    if name == "nothing":
        (tmp_path / name).mkdir()
    for read in (probe, lambda p: next(read_frames(p))):
        with pytest.raises(SourceError):
            read(str(tmp_path / name))


@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "size", "alpha"),
    [
        ("tpc-official/reference.png", (512, 512), True),
        ("tpc-official/reference_upright.jpeg", (540, 540), False),
        ("references/man_cutout.png", (913, 622), True),
        ("references/woman_bent.jpg", (1024, 1448), False),
    ],
)
def test_the_sample_references_read(shared: Path, name: str, size: tuple[int, int], alpha: bool) -> None:
    image, cover = read_picture(shared / "samples" / name)
    assert image.shape == (*size, 3) and (cover is not None) == alpha
