"""Pseudo numerical methods for diffusion (Liu et al. 2022): DDIM moves along a mean of the last predictions."""

from __future__ import annotations

from dataclasses import dataclass

from tpc_stream.sampler import Floats, Level, Prediction, ddim_step

_WEIGHTS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
"""Adams-Bashforth weights of the last predictions, newest first (eq. 12)."""


@dataclass(frozen=True, slots=True, eq=False)
class PndmState:
    """What one pass leaves to the next."""

    passes: int = 0
    outputs: tuple[Floats, ...] = ()
    """The last network outputs, newest first, at most 3."""
    first: Floats | None = None
    """The latents before the first move, until it has been made again."""


def pndm_step(
    output: Floats,
    latents: Floats,
    state: PndmState,
    *,
    alpha: Level,
    sigma: Level,
    next_alpha: Level,
    next_sigma: Level,
    prediction: Prediction,
) -> tuple[Floats, PndmState]:
    """The latents at the next level and the new state; the levels are those of `noise_levels.pndm_levels`.

    The first pass makes a plain DDIM move; the second looks at its end, and the move is made again along the mean of
    both outputs (Heun); from then on outputs are weighted as Adams and Bashforth do, with as many as there are.
    Shapes and levels as in `ddim_step`.
    """
    held = latents
    if state.passes == 1 and state.first is not None:
        direction, latents = (output + state.outputs[0]) / 2, state.first
        outputs = state.outputs  # the second pass corrects the first move and is no prediction of its own
    else:
        outputs = (output, *state.outputs)
        weights = _WEIGHTS[len(outputs)]
        direction = sum((output.dtype.type(w) * o for w, o in zip(weights[1:], outputs[1:], strict=True)),
                        output.dtype.type(weights[0]) * output)  # fmt: skip
    moved = ddim_step(
        direction, latents, alpha=alpha, sigma=sigma, next_alpha=next_alpha, next_sigma=next_sigma,
        prediction=prediction,
    )  # fmt: skip
    return moved, PndmState(state.passes + 1, outputs[:3], held if state.passes == 0 else None)
