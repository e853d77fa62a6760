"""What the decoded person lacks against the picture itself: differences, and the structure that SSIM looks at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

STRUCTURE = 0.8
"""Weight of 1 - SSIM against the mean difference of colours, which are in [-1, 1]."""
ACCURACY = 0.05
"""Weight of the logarithm of the mean squared difference: PSNR's own, so that a good picture still counts."""


def window(pixels: int, sigma: float, device: torch.device) -> Tensor:
    """[pixels] a Gaussian that sums to one."""
    x = torch.arange(pixels, device=device, dtype=torch.float32) - (pixels - 1) / 2
    weights = torch.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def ssim_map(a: Tensor, b: Tensor, *, pixels: int = 11, sigma: float = 1.5) -> Tensor:
    """[N, 3, H, W] SSIM at each pixel of pictures [N, 3, H, W] in [-1, 1] (Wang et al., 2004); borders are mirrored."""
    weights, half = window(pixels, sigma, a.device), pixels // 2
    colours = a.shape[1]
    with torch.autocast(a.device.type, enabled=False):  # variances are small differences: half precision loses them
        a, b = a.float(), b.float()
        x = torch.cat([a, b, a * a, b * b, a * b], 1)
        x = functional.pad(x, (half, half, half, half), mode="reflect")
        across, down = weights.view(1, 1, 1, -1), weights.view(1, 1, -1, 1)
        x = functional.conv2d(x, across.expand(5 * colours, 1, 1, -1), groups=5 * colours)
        x = functional.conv2d(x, down.expand(5 * colours, 1, -1, 1), groups=5 * colours)
    mean_a, mean_b, square_a, square_b, both = x.chunk(5, 1)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    deviation_a, deviation_b = square_a - mean_a**2, square_b - mean_b**2
    return luminance * (2 * (both - mean_a * mean_b) + c2) / (deviation_a + deviation_b + c2)


def picture_loss(
    decoded: Tensor, found: Tensor, images: Tensor, mattes: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """Of decoded pictures [N, 3, S, S] in [-1, 1] and mattes found [N, 1, S, S] in [0, 1] against the true ones.

    Both are laid on the same plain colour, drawn anew for each, so that edges come out clean on any background; what
    counts is the person and what is near.
    """
    decoded, found = decoded.float(), found.float()
    plain = torch.rand(len(images), 3, 1, 1, device=images.device, generator=generator) * 2 - 1
    laid, truth = decoded * found + plain * (1 - found), images * mattes + plain * (1 - mattes)
    reach = images.shape[-1] // 64 * 2 + 1  # five pixels of 128, where person PSNR looks
    near = functional.max_pool2d(mattes, reach, 1, reach // 2)
    share = (near + 0.03) / (near + 0.03).mean((1, 2, 3), keepdim=True)
    squared = ((laid - truth) ** 2 * share).mean((1, 2, 3))
    structure = ((1 - ssim_map(laid, truth)) * share).mean()
    matte = ((found - mattes).abs() * share).mean()
    colour = ((laid - truth).abs() * share).mean() + squared.mean()
    return colour + STRUCTURE * structure + ACCURACY * torch.log(squared + 1e-4).mean() + 0.5 * matte
