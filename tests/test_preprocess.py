from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tpc_stream.errors import InputError
from tpc_stream.manifest import PixelsSpec
from tpc_stream.preprocess import encoder_pixels, unit_pixels, vae_pixels
from tpc_stream.resample import Filter, resample

CLIP = PixelsSpec(
    size=224, mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)  # fmt: skip
SIZES = [(17, 9), (64, 48), (31, 200), (1, 1), (224, 224), (5, 301)]


def picture(width: int, height: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", ["bicubic", "lanczos"])
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_resized_to_the_same_bits_as_pillow(size: tuple[int, int], method: Filter) -> None:
    chosen = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}[method]
    for width, height in ((64, 48), (110, 150), (3, 2)):
        image = picture(width, height)
        wanted = np.asarray(Image.fromarray(image).resize(size, chosen))
        np.testing.assert_array_equal(resample(image, width=size[0], height=size[1], method=method), wanted)


@pytest.mark.samples
@pytest.mark.parametrize("name", ["a", "b"])
def test_pictures_are_prepared_as_the_published_processors_do(shared: Path, name: str) -> None:
    from safetensors.numpy import load_file

    golden = load_file(shared / "golden" / "preprocess" / "preprocess.safetensors")
    image = golden[f"{name}/image"]

    def close(found: np.ndarray, key: str) -> None:
        wanted = golden[f"{name}/{key}"]
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=1e-6)

    close(encoder_pixels(image, CLIP), "clip_pixels_direct")
    squeezed = PixelsSpec(size=224, mean=CLIP.mean, std=CLIP.std, resize="exact")
    close(encoder_pixels(image, squeezed), "animateanyone_clip_pixels")
    height, width = golden[f"{name}/animateanyone_ref"].shape[2:]
    close(vae_pixels(image, width=width, height=height), "animateanyone_ref")
    close(unit_pixels(image, width=width, height=height), "animateanyone_pose")
    small = golden[f"{name}/magicanimate_resized_uint8"]
    found = resample(image, width=small.shape[1], height=small.shape[0], method="bicubic")
    np.testing.assert_array_equal(found, small)
    close(vae_pixels(image, width=small.shape[1], height=small.shape[0], method="bicubic"), "magicanimate_ref")


def test_what_the_mask_leaves_out_is_nothing_after_normalising() -> None:
    mask = np.zeros((60, 40), np.uint8)
    mask[20:40] = 255
    spec = PixelsSpec(size=8, mean=CLIP.mean, std=CLIP.std, masked=True)
    pixels = encoder_pixels(picture(40, 60), spec, mask=mask)
    whole = encoder_pixels(picture(40, 60), PixelsSpec(size=8, mean=CLIP.mean, std=CLIP.std))
    assert not pixels[0, :, 0].any()
    np.testing.assert_array_equal(pixels[0, :, 3:5], whole[0, :, 3:5])


def test_another_layout_is_refused() -> None:
    with pytest.raises(InputError, match="HWC uint8"):
        resample(np.zeros((4, 4), np.uint8), width=2, height=2, method="bicubic")
