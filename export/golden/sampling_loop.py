"""The authors' sampling loops, around any denoiser, with diffusers' schedulers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, PNDMScheduler
from torch import Tensor

from tpc_stream.errors import CheckpointError

Denoise = Callable[[Tensor, Tensor, Sequence[int]], list[Tensor]]
"""(latents [F, 4, h, w], timestep, frames of the clip) -> the predictions to be guided, [F, 4, h, w] each."""
Guide = Callable[[list[Tensor]], Tensor]


def scheduler_of(pipeline: Mapping[str, Any]) -> DDIMScheduler | PNDMScheduler:
    """The scheduler of a set, at its number of steps."""
    options = {key: value for key, value in pipeline["scheduler"].items() if key not in ("type", "eta")}
    kind = pipeline["scheduler"]["type"]
    if kind == "PNDM":
        options.pop("clip_sample", None)
        scheduler = PNDMScheduler(**options)
    elif kind == "DDIM":
        options.pop("skip_prk_steps", None)
        scheduler = DDIMScheduler(**options)
    else:
        raise CheckpointError(f"the set's scheduler is {kind!r}; known are DDIM and PNDM")
    scheduler.set_timesteps(pipeline["steps"])
    return scheduler


def check_timesteps(timesteps: Tensor, pipeline: Mapping[str, Any]) -> None:
    """CheckpointError where the loop would visit other timesteps than the set says."""
    told = list(pipeline.get("timesteps", timesteps.tolist()))
    # a loop that starts in the middle may be told of with or without what it leaves out
    if not timesteps.tolist() or told[-len(timesteps) :] != timesteps.tolist():
        raise CheckpointError(f"the scheduler visits {timesteps.tolist()}, the set {told}")


def guide(predictions: list[Tensor], *, scale: float) -> Tensor:
    """Classifier-free guidance of [unconditional, conditional], or the only prediction as it is."""
    if len(predictions) == 1:
        return predictions[0]
    unconditional, conditional = predictions
    return unconditional + scale * (conditional - unconditional)


def loop(
    latents: Tensor,
    scheduler: DDIMScheduler | PNDMScheduler,
    timesteps: Tensor,
    *,
    denoise: Denoise,
    guided: Guide,
    windows: Sequence[Sequence[int]],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the guided prediction and the new latents of every step, both [F, 4, h, w].

    Predictions of frames that several windows hold are averaged before they are guided.
    """
    for timestep in timesteps:
        sums: list[Tensor] = []
        count = torch.zeros(len(latents), 1, 1, 1, dtype=latents.dtype)
        for window in windows:
            frames = torch.tensor(list(window))
            predictions = denoise(latents[frames], timestep, window)
            sums = sums or [torch.zeros_like(latents) for _ in predictions]
            for total, prediction in zip(sums, predictions, strict=True):
                total.index_add_(0, frames, prediction)
            count.index_add_(0, frames, torch.ones(len(frames), 1, 1, 1, dtype=latents.dtype))
        prediction = guided([total / count for total in sums])
        latents = scheduler.step(prediction, timestep, latents).prev_sample
        yield prediction, latents
