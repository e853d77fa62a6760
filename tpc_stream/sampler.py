"""The denoising step: one deterministic move between noise levels, for any prediction type and any mix of levels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
"""float32 in a run; float64 where exactness is shown."""
Level = NDArray[Any] | np.floating[Any]
Prediction = Literal["sample", "epsilon", "v_prediction"]


def sample_and_noise(
    output: Floats, latents: Floats, *, alpha: Level, sigma: Level, prediction: Prediction
) -> tuple[Floats, Floats]:
    """What the network's output says of the clean sample and of the noise, given latents = alpha x + sigma n.

    Args:
        output, latents: [F, C, h, w].
        alpha, sigma: broadcast to that; a level of its own for every frame is [F, 1, 1, 1]. sigma > 0 for "sample",
            alpha > 0 for "epsilon"; "v_prediction" (Salimans and Ho 2022) assumes alpha^2 + sigma^2 = 1.
    """
    if prediction == "sample":
        return output, (latents - alpha * output) / sigma
    if prediction == "epsilon":
        return (latents - sigma * output) / alpha, output
    return alpha * latents - sigma * output, alpha * output + sigma * latents


def ddim_step(
    output: Floats,
    latents: Floats,
    *,
    alpha: Level,
    sigma: Level,
    next_alpha: Level,
    next_sigma: Level,
    prediction: Prediction,
) -> Floats:
    """The latents at the next noise level: the same sample and noise, mixed anew (DDIM, eta = 0)."""
    sample, noise = sample_and_noise(output, latents, alpha=alpha, sigma=sigma, prediction=prediction)
    return next_alpha * sample + next_sigma * noise
