"""What a manifest can say beyond the embedded bundle: contexts, guidance, pictures, starts and schedulers as data."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.made_up_system import CELL, LATENT, SIZE, MadeUp, graph
from tests.synthetic import calibrated, portrait
from tpc_stream.bundle import Bundle
from tpc_stream.errors import BundleError, InputError
from tpc_stream.frame import Frame
from tpc_stream.manifest import (
    ConditioningSpec,
    GuidanceSpec,
    PixelsSpec,
    PoseSpec,
    SamplingSpec,
    WindowSpec,
)
from tpc_stream.noise import frame_noise
from tpc_stream.noise_levels import noise_levels
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import make_plan
from tpc_stream.pndm import PndmState, pndm_step

PIXELS = PixelsSpec(size=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
TOKENS = ConditioningSpec("tokens", screened=False)


def with_context() -> MadeUp:
    system = MadeUp(pixels=PIXELS)
    system.graphs["tokens"] = graph("tokens", {"pixels": ("N", 3, 16, 16)}, {"context": ("N", 1, 5)})
    system.add_inputs("reference", context=(1, 1, 5))
    system.add_inputs("denoise", context=(1, 1, 5))
    return system


def with_tokens(**tables: object) -> MadeUp:
    system = MadeUp(conditioning=TOKENS, pixels=PIXELS, **tables)
    del system.graphs["reference"]
    outputs = {"tokens_00": ("N", 3, 4), "unconditional_00": (1, 3, 4)}
    system.graphs["tokens"] = graph("tokens", {"pixels": ("N", 3, 16, 16)}, outputs)
    return system


def with_pictures(drawing: str = "dwpose", channels: int = 3, **tables: object) -> MadeUp:
    before, after = tables.pop("before", 0), tables.pop("after", 0)
    system = MadeUp(pose=PoseSpec(drawing, before, after), **tables)
    shape = ("F", channels * (before + 1 + after), SIZE, SIZE)
    system.graphs["pose"] = graph("pose", {"pose_images": shape}, {"pose_features": ("F", 1, CELL, CELL)})
    return system


def test_one_context_serves_the_reference_network_and_the_denoiser_and_is_zero_without_reference() -> None:
    _, engines = with_context().run(calibrated(8), guidance_scale=2.0)
    assert len(engines["tokens"].calls) == 1
    (written,) = {call["context"].tobytes() for call in engines["reference"].calls}
    conditional, unconditional = engines["denoise"].calls[:2]
    assert conditional["context"].tobytes() == written and conditional["context"].any()
    assert not unconditional["context"].any() and unconditional["context"].shape == (1, 1, 5)
    assert unconditional["reference_00"].shape == (1, 0, 4)


@pytest.mark.parametrize(
    ("unconditional", "shape", "value"),
    [("no_tokens", (1, 0, 4), 0), ("zeros", (1, 3, 4), 0), ("written", (1, 3, 4), 7)],
)
def test_what_stands_for_no_reference_is_said_by_the_manifest(
    unconditional: str, shape: tuple[int, ...], value: float
) -> None:
    system = with_tokens(guidance=GuidanceSpec(unconditional=unconditional))
    _, engines = system.run(calibrated(8), guidance_scale=2.0)
    conditional, other = engines["denoise"].calls[:2]
    assert conditional["calibrated_00"].shape[1] == 3 and other["calibrated_00"].shape == (1, 0, 4)
    assert other["reference_00"].shape == shape and (other["reference_00"] == value).all()


def test_three_part_guidance_takes_the_pose_away_as_zeros() -> None:
    spec = GuidanceSpec("reference_and_pose", "written", reference_scale=3.0)
    _, engines = with_tokens(guidance=spec).run(calibrated(8), guidance_scale=2.0, steps=1)
    full, reference, nothing = engines["denoise"].calls
    assert full["pose_features"].any() and not reference["pose_features"].any() and not nothing["pose_features"].any()
    np.testing.assert_array_equal(full["reference_00"], reference["reference_00"])
    assert full["calibrated_00"].shape == reference["calibrated_00"].shape
    assert (nothing["reference_00"] == 7).all() and nothing["calibrated_00"].shape == (1, 0, 4)


def test_a_pose_network_that_looks_at_the_latents_runs_once_a_step_for_both_halves() -> None:
    system = with_pictures()
    system.add_inputs("pose", latents=LATENT, timesteps=("F",))
    _, engines = system.run(calibrated(8), guidance_scale=2.0)
    told, asked = engines["pose"].calls, engines["denoise"].calls
    assert len(told) == 3 and len(asked) == 6
    for step, call in enumerate(told):
        np.testing.assert_array_equal(call["latents"], asked[2 * step]["latents"])
        np.testing.assert_array_equal(call["timesteps"], asked[2 * step + 1]["timesteps"])
        np.testing.assert_array_equal(asked[2 * step]["pose_features"], asked[2 * step + 1]["pose_features"])


def test_pictures_that_do_not_look_at_the_latents_are_told_once_a_window() -> None:
    _, engines = with_pictures().run(calibrated(16), guidance_scale=2.0)
    assert len(engines["pose"].calls) == 2
    pictures = np.concatenate([call["pose_images"] for call in engines["pose"].calls])
    assert pictures.shape == (16, 3, SIZE, SIZE) and pictures.min() >= 0 and 0.9 < pictures.max() <= 1
    assert len({picture.tobytes() for picture in pictures[:5]}) == 5


@pytest.mark.parametrize("window", [4, 8, 16])
def test_neighbouring_pictures_are_stacked_whatever_the_windows(window: int) -> None:
    alone = with_pictures("densepose_uv", 2).run(calibrated(13), window=16)[1]["pose"].calls[0]["pose_images"]
    system = with_pictures("densepose_uv", 2, before=2, after=2)
    _, engines = system.run(calibrated(13), window=window)
    stacked = np.concatenate([call["pose_images"] for call in engines["pose"].calls])
    assert stacked.shape == (13, 10, SIZE, SIZE)
    for k in range(13):
        # beyond the clip's ends the frame's own picture stands in
        wanted = np.concatenate([alone[j] if 0 <= j < 13 else alone[k] for j in range(k - 2, k + 3)])
        np.testing.assert_array_equal(stacked[k], wanted)


def test_denoising_may_start_from_the_noised_reference() -> None:
    sampling = SamplingSpec("ddim", "epsilon", 3, 1.0, start="reference")
    system = MadeUp(sampling=sampling, window=WindowSpec(8, 0, 64, temporal=False, noise_period=1))
    _, engines = system.run(calibrated(8))
    first = engines["denoise"].calls[0]["latents"]
    levels = noise_levels(sampling, steps=3)
    noise = frame_noise(range(8), seed=0, shape=(4, CELL, CELL), period=1)
    encoded = engines["encode"].answer({"images": engines["encode"].calls[0]["images"]})["latents"]
    np.testing.assert_allclose(first, levels.alphas[0] * encoded + levels.sigmas[0] * noise, atol=1e-6)


@pytest.mark.parametrize("background", ["masked", "painted"])
def test_the_background_is_encoded_without_its_person_for_every_pass(background: str) -> None:
    system = MadeUp(conditioning=ConditioningSpec("bank", screened=False, background=background))
    system.add_inputs("denoise", background_latents=(1, *LATENT[1:]))
    _, engines = system.run(calibrated(8), guidance_scale=2.0)
    assert len({call["background_latents"].tobytes() for call in engines["denoise"].calls}) == 1
    given = engines["denoise"].calls[-1]["background_latents"]
    (shown,) = (
        call["images"]
        for call in engines["encode"].calls
        if np.allclose(engines["encode"].answer(call)["latents"], given, atol=1e-5)
    )
    person = portrait().mask[::2, ::2] > 200
    colours = shown[0][:, person]
    # the person is red: nothing of that is left
    if background == "masked":
        assert colours[0].max() < 0.1
    else:
        assert (colours[0] < colours[2]).all()
    ground = np.array([30, 60, 90]) / 127.5 - 1
    np.testing.assert_allclose(shown[0][:, 0, 0], ground, atol=0.02)


def test_pndm_makes_one_pass_more_than_steps_and_keeps_no_state_between_windows() -> None:
    sampling = SamplingSpec("pndm", "epsilon", 4, 1.0, beta_schedule="scaled_linear", steps_offset=1)
    system = MadeUp(sampling=sampling)
    done, engines = system.run(calibrated(16), steps=4, tpc=False)
    calls = engines["denoise"].calls
    assert [call["timesteps"][0] for call in calls[:5]] == [751, 501, 501, 251, 1]
    levels = noise_levels(sampling, steps=4)
    for window in (0, 1):
        latents, state = calls[5 * window]["latents"], PndmState()
        for step, call in enumerate(calls[5 * window : 5 * window + 5]):
            np.testing.assert_allclose(call["latents"], latents, atol=1e-5)
            latents, state = pndm_step(
                engines["denoise"].answer(call)["output"], latents, state, alpha=levels.alphas[step],
                sigma=levels.sigmas[step], next_alpha=levels.next_alphas[step],
                next_sigma=levels.next_sigmas[step], prediction="epsilon",
            )  # fmt: skip
        np.testing.assert_allclose(np.concatenate([f.latents for f in done[8 * window :][:8]]), latents, atol=1e-5)


def video(count: int, *, rate: int = 25) -> list[Frame]:
    def picture(k: int) -> np.ndarray:
        return np.full((SIZE, SIZE, 3), (10 * k, 100, 7), np.uint8)

    return [Frame(k, Fraction(k, rate), picture(k), captured_seconds=0.0) for k in range(count)]


def test_a_pose_video_takes_the_place_of_drawings() -> None:
    _, engines = with_pictures("densepose").run(calibrated(8), pose_pictures=video(8))
    told = engines["pose"].calls[0]["pose_images"]
    np.testing.assert_allclose(told[:, 0, 0, 0], np.arange(8) * 10 / 255, atol=1e-6)
    _, engines = with_pictures("densepose_uv", 2).run(calibrated(8), pose_pictures=video(8))
    told = engines["pose"].calls[0]["pose_images"]
    # U is green, V is red
    np.testing.assert_allclose(told[3, :, 0, 0], np.array([100, 30]) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (video(7), "ends after 7 frames"),
        (video(9), "longer than the driving video, which ends after 8 frames"),
        (video(8, rate=30), r"another frame rate: its frame 2 is at 0\.067 s, the driving video's at 0\.080 s"),
    ],
)
def test_a_pose_video_that_is_not_aligned_is_refused(frames: list[Frame], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_pictures("densepose").run(calibrated(8), pose_pictures=iter(frames))


def pixels_without_table() -> MadeUp:
    system = with_context()
    system.tables = {}
    return system


def context_without_tokens() -> MadeUp:
    system = with_context()
    del system.graphs["tokens"]
    return system


def denoiser_without_context() -> MadeUp:
    system = with_context()
    system.remove_input("denoise", "context")
    return system


def both_poses() -> MadeUp:
    system = with_pictures()
    system.add_inputs("pose", keypoints=("F", 17, 3))
    return system


def nothing_written() -> MadeUp:
    system = with_tokens(guidance=GuidanceSpec(unconditional="written"))
    system.graphs["tokens"] = replace(system.graphs["tokens"], outputs=system.graphs["tokens"].outputs[:1])
    return system


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (pixels_without_table(), r"the tokens graph asks for pixels, but the manifest has no \[pixels\]"),
        (context_without_tokens(), "asks for context, but no tokens graph writes it"),
        (denoiser_without_context(), "the denoise graph lacks the inputs context"),
        (with_pictures("densepose_uv", 3), r"pose_images is .* but densepose_uv pictures of a frame are \(2, 32, 32\)"),
        (MadeUp(pose=PoseSpec("dwpose")), "the pose graph lacks the inputs pose_images"),
        (both_poses(), "asks for keypoints and pose_images"),
        (nothing_written(), "lacks the outputs unconditional_NN"),
    ],
)
def test_graphs_that_do_not_fit_the_manifest_are_refused(system: MadeUp, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        system.run(calibrated(4))


@pytest.mark.parametrize(
    ("drawing", "channels", "video", "said"),
    [
        ("densepose", 3, None, "APPROXIMATE, drawn from keypoints and silhouette"),
        ("densepose", 3, "pose.mp4", r"from pose\.mp4"),
        ("dwpose", 3, None, "without hands and face"),
    ],
)
def test_the_plan_says_what_the_pose_network_is_shown(
    drawing: str, channels: int, video: str | None, said: str
) -> None:
    spec = GuidanceSpec("reference_and_pose", reference_scale=0.5)
    sampling = SamplingSpec("pndm", "epsilon", 4, 2.0)
    manifest = with_pictures(drawing, channels, after=2, guidance=spec, sampling=sampling).manifest
    settled = make_plan(Bundle(Path("made-up"), manifest), AnimateOptions(pose_video=video))
    (line,) = (line for line in settled.describe(None, None) if line.startswith("pose pictures"))
    assert re.search(said, line)
    # five passes of PNDM for four steps, each with three of guidance
    assert settled.passes_per_frame == 15
    assert settled.delay_seconds(Fraction(25)) == pytest.approx((7 + 2) / 25)
