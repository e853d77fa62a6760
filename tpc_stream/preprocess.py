"""Pictures as the systems' networks were trained to see them: `pixels` of an image encoder, inputs of a VAE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream.manifest import PixelsSpec
from tpc_stream.resample import Filter, resample


def encoder_pixels(
    image: NDArray[np.uint8], spec: PixelsSpec, *, mask: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """[1, 3, S, S] normalised pixels of a CLIP image encoder.

    Args:
        image: HWC RGB uint8; resized bicubically, cut, divided by 255, and normalised, as CLIP's processor does.
        mask: HW uint8, coverage of the person; where `spec.masked`, it multiplies the normalised values, so that what
            is not the person is exactly 0.
    """
    cut = _square(image, spec)
    # in float32 and in this order, which the published processors share
    unit = (cut * np.float64(1 / 255)).astype(np.float32)
    values = (unit - np.array(spec.mean, dtype=np.float32)) / np.array(spec.std, dtype=np.float32)
    if spec.masked and mask is not None:
        cover = _square(np.ascontiguousarray(mask[..., None]), spec)
        values = values * (cover.astype(np.float32) / 255)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)


def vae_pixels(image: NDArray[np.uint8], *, width: int, height: int, method: Filter = "lanczos") -> NDArray[np.float32]:
    """[1, 3, H, W] in [-1, 1]: squeezed to width x height."""
    return unit_pixels(image, width=width, height=height, method=method) * 2 - 1


def unit_pixels(
    image: NDArray[np.uint8], *, width: int, height: int, method: Filter = "lanczos"
) -> NDArray[np.float32]:
    """[1, 3, H, W] in [0, 1]: squeezed to width x height."""
    small = resample(image, width=width, height=height, method=method)
    return np.ascontiguousarray((small.astype(np.float32) / 255).transpose(2, 0, 1)[None])


def _square(image: NDArray[np.uint8], spec: PixelsSpec) -> NDArray[np.uint8]:
    """HWC at size x size: the shorter side resized to it and the middle cut out, or both sides squeezed."""
    height, width = image.shape[:2]
    size = spec.size
    if spec.resize == "exact":
        return resample(image, width=size, height=size, method="bicubic")
    if width <= height:
        image = resample(image, width=size, height=int(size * height / width), method="bicubic")
    else:
        image = resample(image, width=int(size * width / height), height=size, method="bicubic")
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]
