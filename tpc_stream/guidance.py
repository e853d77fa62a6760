"""Classifier-free guidance as data: which passes a step makes of the denoiser, and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tpc_stream.manifest import GuidanceSpec
from tpc_stream.sampler import Floats


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of the denoiser in a step, and what it adds to the guided output."""

    reference: bool
    """Whether r, c_i and the context are given; otherwise what stands for none."""
    pose: bool
    """Whether the pose features are given; otherwise zeros."""
    weight: float


def guidance_passes(spec: GuidanceSpec, *, scale: float) -> tuple[Pass, ...]:
    """The passes of a step. Their weights add up to 1; a pass of weight 0 is left out.

    "reference" (Ho and Salimans 2022): u + s (c - u) with scale s.
    "reference_and_pose" (Brooks et al. 2023): u + s1 (r - u) + s (f - r), where u knows neither reference nor pose, r
    the reference alone and f both; s1 is the manifest's `reference_scale`.
    A scale of 1 is no guidance at all: one pass with everything.
    """
    if scale == 1.0:
        return (Pass(reference=True, pose=True, weight=1.0),)
    if spec.kind == "reference":
        passes: tuple[Pass, ...] = (Pass(True, True, scale), Pass(False, True, 1 - scale))
    else:
        first = spec.reference_scale
        passes = (Pass(True, True, scale), Pass(True, False, first - scale), Pass(False, False, 1 - first))
    return tuple(item for item in passes if item.weight != 0)


def guided(outputs: Sequence[Floats], passes: Sequence[Pass]) -> Floats:
    """The weighted sum of the passes' outputs, [F, C, h, w] each."""
    if len(passes) == 1:
        return outputs[0]
    total: Floats = sum(output.dtype.type(item.weight) * output for output, item in zip(outputs, passes, strict=True))
    return total
