"""A SAM of the real layout with tiny widths and random weights: no checkpoint can be had in tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from export.sam_networks import SamLayout, build_sam

TINY = SamLayout(
    image_size=256, patch_size=16, embed_dim=32, depth=3, heads=2, window_size=14, global_blocks=(1,), prompt_dim=32,
    mask_channels=16, decoder_depth=2, decoder_mlp_dim=64, masks=4, score_depth=3, score_dim=32,
)  # fmt: skip
"""Three blocks, one of them global, and windows that do not divide the picture, as in the real ones."""


@cache
def random_sam(layout: SamLayout, *, seed: int = 0) -> torch.nn.Module:
    """SAM with every weight drawn, those too that start at zero: a weight left out of a graph would show."""
    torch.manual_seed(seed)
    sam = build_sam(layout)
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return sam.eval()


def write_checkpoint(path: Path, *, layout: SamLayout = TINY, seed: int = 0) -> Path:
    """A checkpoint file as SAM's makers publish it: the state dict alone."""
    torch.save(random_sam(layout, seed=seed).state_dict(), path)
    return path
