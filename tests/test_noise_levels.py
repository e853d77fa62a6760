from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch

from tpc_stream.errors import InputError
from tpc_stream.manifest import SamplingSpec
from tpc_stream.noise import frame_noise
from tpc_stream.noise_levels import ddim_levels, flow_levels, noise_levels
from tpc_stream.pndm import PndmState, pndm_step
from tpc_stream.sampler import ddim_step, sample_and_noise


def spec(**choices: object) -> SamplingSpec:
    fields: dict[str, object] = {"scheduler": "ddim", "prediction": "epsilon", "steps": 1, "guidance_scale": 1.0}
    return SamplingSpec(**(fields | choices))


def f32(value: float) -> np.ndarray:
    return np.float32(value)


@pytest.mark.parametrize(
    ("spacing", "offset", "to_one", "zero_snr", "schedule", "prediction", "steps"),
    [
        *itertools.product(
            ["leading", "trailing", "linspace"], [0], [True, False], [False], ["linear"], ["epsilon"], [1, 4, 25, 30]
        ),
        ("leading", 1, True, False, "scaled_linear", "v_prediction", 25),
        ("leading", 1, False, False, "scaled_linear", "sample", 50),
        ("trailing", 0, True, True, "linear", "v_prediction", 30),
        ("trailing", 0, True, True, "scaled_linear", "v_prediction", 4),
    ],
)
def test_a_whole_ddim_run_equals_the_reference_implementation(
    spacing: str, offset: int, to_one: bool, zero_snr: bool, schedule: str, prediction: str, steps: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import DDIMScheduler

        reference = DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule=schedule, clip_sample=False, set_alpha_to_one=to_one,
            steps_offset=offset, prediction_type=prediction, timestep_spacing=spacing,
            rescale_betas_zero_snr=zero_snr,
        )  # fmt: skip
        reference.set_timesteps(steps)
    ours = spec(
        prediction=prediction, beta_schedule=schedule, timestep_spacing=spacing, steps_offset=offset,
        set_alpha_to_one=to_one, rescale_zero_terminal_snr=zero_snr,
    )  # fmt: skip
    levels = ddim_levels(ours, steps=steps)
    assert levels.timesteps.tolist() == reference.timesteps.tolist()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 4))
    theirs = torch.from_numpy(x)
    for i, t in enumerate(reference.timesteps):
        output = rng.standard_normal(x.shape)
        theirs = reference.step(torch.from_numpy(output), t, theirs).prev_sample
        x = ddim_step(
            output, x, alpha=levels.alphas[i], sigma=levels.sigmas[i], next_alpha=levels.next_alphas[i],
            next_sigma=levels.next_sigmas[i], prediction=prediction,
        )  # fmt: skip
        scale = float(theirs.abs().max())
        # never set back: a difference of one step would be seen in all that follow
        assert np.abs(x - theirs.numpy()).max() <= 1e-6 * scale


def test_flow_levels_are_equal_steps_from_noise_to_picture() -> None:
    levels = flow_levels(4)
    assert levels.timesteps.tolist() == [1.0, 0.75, 0.5, 0.25]
    assert levels.next_sigmas.tolist() == [0.75, 0.5, 0.25, 0.0]
    assert np.array_equal(levels.alphas + levels.sigmas, np.ones(4))
    assert len(levels) == 4


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_every_prediction_tells_the_same_sample_and_noise(prediction: str) -> None:
    rng = np.random.default_rng(1)
    x, n = rng.standard_normal((2, 1, 2, 3, 3)).astype(np.float32)
    alpha, sigma = f32(0.8), f32(0.6)
    output = {"sample": x, "epsilon": n, "v_prediction": alpha * n - sigma * x}[prediction]
    sample, noise = sample_and_noise(
        output,
        alpha * x + sigma * n,
        alpha=alpha,
        sigma=sigma,
        prediction=prediction,
    )
    np.testing.assert_allclose(sample, x, atol=1e-6)
    np.testing.assert_allclose(noise, n, atol=1e-6)


def test_frames_may_stand_at_levels_of_their_own() -> None:
    rng = np.random.default_rng(2)
    output, x = rng.standard_normal((2, 3, 2, 4, 4)).astype(np.float32)
    sigma = np.array([0.2, 0.6, 1.0], dtype=np.float32).reshape(3, 1, 1, 1)
    choices = {"prediction": "sample", "next_alpha": f32(0.9), "next_sigma": f32(0.1)}
    together = ddim_step(output, x, alpha=1 - sigma, sigma=sigma, **choices)
    for k in range(3):
        alone = ddim_step(output[k], x[k], alpha=1 - sigma[k], sigma=sigma[k], **choices)
        np.testing.assert_array_equal(together[k], alone)


@pytest.mark.parametrize(
    ("steps", "offset", "prediction", "spacing"),
    [
        (1, 1, "epsilon", "leading"), (2, 1, "epsilon", "leading"), (5, 0, "v_prediction", "leading"),
        (50, 1, "epsilon", "leading"), (100, 1, "epsilon", "leading"), (30, 0, "epsilon", "trailing"),
        (30, 0, "epsilon", "linspace"),
    ],
)  # fmt: skip
def test_a_whole_pndm_run_equals_the_reference_implementation(
    steps: int, offset: int, prediction: str, spacing: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import PNDMScheduler

        reference = PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
            set_alpha_to_one=False, steps_offset=offset, prediction_type=prediction, timestep_spacing=spacing,
        )  # fmt: skip
        reference.set_timesteps(steps)
    ours = spec(
        scheduler="pndm", prediction=prediction, beta_schedule="scaled_linear", set_alpha_to_one=False,
        steps_offset=offset, timestep_spacing=spacing,
    )  # fmt: skip
    levels = noise_levels(ours, steps=steps)
    assert levels.timesteps.tolist() == reference.timesteps.tolist()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 4))
    theirs, state = torch.from_numpy(x), PndmState()
    for i, t in enumerate(reference.timesteps):
        # a network would answer to the latents: what goes wrong early must come back
        seen = rng.standard_normal(x.shape)
        reply = torch.from_numpy(seen) + 0.1 * theirs
        theirs = reference.step(reply, t, theirs).prev_sample
        x, state = pndm_step(
            seen + 0.1 * x, x, state, alpha=levels.alphas[i], sigma=levels.sigmas[i],
            next_alpha=levels.next_alphas[i], next_sigma=levels.next_sigmas[i], prediction=prediction,
        )  # fmt: skip
        assert np.abs(x - theirs.numpy()).max() <= 1e-6 * float(theirs.abs().max())


@pytest.mark.parametrize(("steps", "message"), [(0, "at least 1 step"), (1001, "1000 train timesteps")])
def test_impossible_steps_are_refused(steps: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        noise_levels(spec(), steps=steps)


def test_noise_is_a_function_of_seed_and_frame_alone() -> None:
    whole = frame_noise(range(12), seed=7, shape=(2, 3, 3), period=0)
    pieces = [frame_noise(range(a, b), seed=7, shape=(2, 3, 3), period=0) for a, b in ((0, 5), (5, 6), (6, 12))]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    assert len({array.tobytes() for array in whole}) == 12
    assert not np.array_equal(whole, frame_noise(range(12), seed=8, shape=(2, 3, 3), period=0))
    assert abs(frame_noise(range(400), seed=0, shape=(4, 8, 8), period=0).std() - 1) < 0.01


def test_noise_may_be_shared_or_repeat() -> None:
    shared = frame_noise(range(5), seed=1, shape=(1, 2, 2), period=1)
    assert all(np.array_equal(shared[0], array) for array in shared)
    repeated = frame_noise(range(3, 20), seed=1, shape=(1, 2, 2), period=16)
    np.testing.assert_array_equal(repeated[0], repeated[16])
    assert not np.array_equal(repeated[0], repeated[1])
