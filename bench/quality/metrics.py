"""How near a picture is to the truth, and how steady a clip is. Pictures: HWC RGB uint8, [0, 255], in values too."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Picture = NDArray[np.uint8]
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, from the finest (Wang, Simoncelli, Bovik, 2003)."""
MS_SSIM_LEAST_PIXELS = 176
"""Five scales need eleven pixels at the coarsest: 11 x 2^4. Smaller pictures are enlarged by a whole factor first."""


def l1(found: Picture, truth: Picture) -> float:
    """Mean absolute difference, of [0, 1]."""
    return float(np.abs(found.astype(np.float64) - truth).mean() / 255)


def psnr(found: Picture, truth: Picture, region: NDArray[np.bool_] | None = None) -> float:
    """dB, of the whole picture or of a region HW; at most 78, where nothing differs."""
    squared = (found.astype(np.float64) - truth) ** 2
    error = squared.mean() if region is None else squared[region].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def person_region(matte: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """HW: the person's matte dilated 5x5."""
    return cv2.dilate((matte > 127).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def ssim(found: Picture, truth: Picture) -> float:
    """Of the whole picture, mean of the three colours (Wang et al., 2004: a Gaussian window, sigma 1.5)."""
    return float(
        structural_similarity(
            found, truth, channel_axis=2, data_range=255, gaussian_weights=True, use_sample_covariance=False
        )
    )


def ms_ssim(found: Picture, truth: Picture) -> float:
    """Multi-scale SSIM over five scales, mean of the three colours; see MS_SSIM_LEAST_PIXELS for small pictures."""
    a, b = found.astype(np.float64), truth.astype(np.float64)
    factor = -(-MS_SSIM_LEAST_PIXELS // min(a.shape[:2]))
    if factor > 1:
        a, b = (cv2.resize(x, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for x in (a, b))
    product = np.ones(a.shape[2])
    for scale, weight in enumerate(_WEIGHTS):
        luminance, structure = _terms(a, b)
        last = scale == len(_WEIGHTS) - 1
        term = (luminance * structure if last else structure).mean((0, 1))
        product *= np.maximum(term, 0.0) ** weight
        if not last:
            a, b = (cv2.resize(x, (x.shape[1] // 2, x.shape[0] // 2), interpolation=cv2.INTER_AREA) for x in (a, b))
    return float(product.mean())


def _terms(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Luminance and contrast-structure of SSIM where the 11x11 window lies within the picture."""

    def blurred(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5))[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * both + c2) / (var_a + var_b + c2)


def flicker(now: Picture, following: Picture, flow: NDArray[np.float32]) -> float:
    """Mean absolute change of surface points from a frame to the next, levels of [0, 255]; nan where none is followed.

    flow: HW2 (x, y) pixels, the true motion; nan where it is not known.
    """
    known = ~np.isnan(flow[..., 0])
    if not known.any():
        return float("nan")
    rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    moved = np.nan_to_num(flow)
    there = cv2.remap(
        following.astype(np.float32), columns + moved[..., 0], rows + moved[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return float(np.abs(there - now)[known].mean())


def difference_error(
    now: Picture, following: Picture, truth: Picture, truth_following: Picture, region: NDArray[np.bool_]
) -> float:
    """How far the change from a frame to the next is from the truth's, in a region HW: mean, levels of [0, 255]."""
    change = following.astype(np.float32) - now
    true = truth_following.astype(np.float32) - truth
    return float(np.abs(change - true)[region].mean())
