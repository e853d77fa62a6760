from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import calibrated, portrait
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.backends import open_backend
from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.conditioning import Conditioner
from tpc_stream.denoise import DenoiseConfig, denoise
from tpc_stream.engine import Array, Engine
from tpc_stream.errors import EngineError
from tpc_stream.frame import IDENTITY, CalibratedFrame, Similarity
from tpc_stream.manifest import Role
from tpc_stream.propagation import drawn_frame


class Counting:
    """An engine that remembers what it was asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.calls: list[dict[str, Array]] = []

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.calls.append(dict(inputs))
        return self.engine(inputs)

    def close(self) -> None:
        self.engine.close()


class Rig:
    def __init__(self, folder: Path, **choices: Any) -> None:
        self.bundle: Bundle = open_bundle(make_tiny_bundle(folder, **choices))
        backend = open_backend("onnxrt", threads=1)
        self.engines: dict[Role, Counting] = {
            role: Counting(backend.open(graph)) for role, graph in self.bundle.manifest.graphs.items()
        }

    def run(self, frames: list[CalibratedFrame], **choices: Any) -> np.ndarray:
        defaults: dict[str, Any] = {"steps": 1, "guidance_scale": 1.0, "window": 8, "overlap": 0, "group_size": 4}
        config = DenoiseConfig(**(defaults | choices))
        done = denoise(
            iter(frames), bundle=self.bundle, engines=self.engines, portrait=portrait(), config=config,
            span=lambda name: nullcontext(),
        )  # fmt: skip
        items = list(done)
        assert [item.index for item in items] == [item.frame.index for item in frames]
        self.shown = [item.shown for item in items]
        self.batches = [item.ends_batch for item in items]
        return np.concatenate([item.latents for item in items])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield Rig(tmp_path / "tiny")


def test_each_frame_attends_to_itself_the_reference_and_its_drawn_calibration(rig: Rig) -> None:
    """The whole path against an attention written out here."""
    latents = rig.run(calibrated(8))
    call = rig.engines["denoise"].calls[0]
    conditioner = Conditioner(rig.bundle, rig.engines, portrait(), span=lambda name: nullcontext())
    (reference,) = conditioner.features([conditioner.reference()], timestep=0)
    for k, item in enumerate(calibrated(8)):
        drawn = drawn_frame(k, seed=0, step=0, group_size=4)
        encoded = conditioner.calibrated(calibrated(8)[drawn].calibration.transform)
        (c,) = conditioner.features([encoded], timestep=0)
        own = call["latents"][k].reshape(4, 64).T
        keys = np.concatenate([own, reference[0], c[0]])
        scores = own @ keys.T
        weights = np.exp(scores - scores.max(1, keepdims=True))
        pose = np.concatenate([item.body.keypoints / 64, np.ones((17, 1))], axis=1).mean()
        expected = (weights / weights.sum(1, keepdims=True)) @ keys + pose + 0.01
        np.testing.assert_allclose(latents[k], expected.T.reshape(4, 8, 8), atol=2e-5)


def test_the_calibrated_person_is_encoded_where_the_transform_lays_it(rig: Rig) -> None:
    conditioner = Conditioner(rig.bundle, rig.engines, portrait(), span=lambda name: nullcontext())
    here = conditioner.calibrated(IDENTITY).arrays["latents"]
    there = conditioner.calibrated(Similarity(1.0, 0.0, (16.0, -8.0))).arrays["latents"]
    # a cell of the latents spans 8 pixels of the 64 x 64 canvas
    np.testing.assert_allclose(there[..., :-1, 2:], here[..., 1:, :-2], atol=0.01)
    assert np.abs(here).max() > 0.3


def test_only_drawn_calibrations_are_encoded_once(rig: Rig) -> None:
    rig.run(calibrated(32), group_size=4)
    assert sum(len(call["images"]) for call in rig.engines["encode"].calls) == 1 + 32 // 4
    assert sum(len(call["latents"]) for call in rig.engines["reference"].calls) == 1 + 32 // 4


def test_overlapping_windows_encode_no_calibration_twice(rig: Rig) -> None:
    rig.run(calibrated(32), window=8, overlap=4, group_size=4)
    assert sum(len(call["images"]) for call in rig.engines["encode"].calls) == 1 + 32 // 4


def test_without_tpc_nothing_is_encoded_and_the_output_differs(rig: Rig) -> None:
    with_tpc = rig.run(calibrated(8))
    before = len(rig.engines["encode"].calls)
    without = rig.run(calibrated(8), tpc=False)
    assert len(rig.engines["encode"].calls) == before + 1
    assert rig.engines["denoise"].calls[-1]["calibrated_00"].shape == (1, 0, 4)
    assert np.abs(with_tpc - without).max() > 1e-3


def test_guidance_takes_a_second_pass_without_any_reference(rig: Rig) -> None:
    plain = rig.run(calibrated(8))
    guided = rig.run(calibrated(8), guidance_scale=2.0)
    unconditional = rig.engines["denoise"].calls[-1]
    assert unconditional["reference_00"].shape == (1, 0, 4) == unconditional["calibrated_00"].shape
    nothing = rig.engines["denoise"].engine(unconditional)["output"]
    np.testing.assert_allclose(guided, nothing + 2 * (plain - nothing), atol=1e-5)


def test_every_step_tells_the_network_its_timestep_and_draws_anew(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tiny", steps=4)
    rig.run(calibrated(32), steps=4)
    calls = rig.engines["denoise"].calls
    assert [float(call["timesteps"][0]) for call in calls[:4]] == [1.0, 0.75, 0.5, 0.25]
    used = {call["calibrated_00"][call["calibrated_index"]].tobytes() for call in calls}
    assert len(used) > 1, "every step gave the frames the same features"
    assert all(len(set(call["calibrated_index"][:4].tolist())) == 1 for call in calls)


def test_a_reference_that_follows_the_timestep_is_written_at_every_step(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tiny", reference_timesteps=True)
    rig.run(calibrated(8), steps=2)
    assert [float(call["timesteps"][0]) for call in rig.engines["reference"].calls] == [1.0, 1.0, 0.5, 0.5]


def test_tokens_of_an_image_encoder_take_the_place_of_a_reference_network(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tiny", kind="tokens")
    with_tpc = rig.run(calibrated(8))
    assert not rig.engines["encode"].calls
    assert np.abs(with_tpc - rig.run(calibrated(8), tpc=False)).max() > 1e-3


def test_a_longer_clip_does_not_change_the_frames_before(rig: Rig) -> None:
    np.testing.assert_array_equal(rig.run(calibrated(24))[:16], rig.run(calibrated(16)))


@pytest.mark.parametrize("temporal", [False, True])
def test_a_seam_is_a_blend_of_both_windows(tmp_path: Path, temporal: bool) -> None:
    rig = Rig(tmp_path / "tiny", temporal=temporal)
    blended = rig.run(calibrated(12), window=8, overlap=4)
    alone = rig.run(calibrated(8), window=8, overlap=4)
    np.testing.assert_allclose(blended[:4], alone[:4], atol=1e-6)
    later = rig.engines["denoise"].calls[1]
    fresh = rig.engines["denoise"].engine(later)["output"]
    ramp = np.array([0.2, 0.4, 0.6, 0.8], np.float32).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(blended[4:8], alone[4:] * (1 - ramp) + fresh[:4] * ramp, atol=1e-5)


def test_frames_that_leave_together_say_where_they_end(rig: Rig) -> None:
    rig.run(calibrated(10), window=4, overlap=0)
    assert rig.batches == [False, False, False, True] * 2 + [False, True]
    rig.run(calibrated(10), window=4, overlap=2, group_size=2)
    assert rig.batches == [False, True] * 5
    rig.run(calibrated(3), window=8, overlap=4)
    assert rig.batches == [False, False, True]


def test_a_lost_pose_is_held_for_a_bounded_time_and_then_nobody_is_shown(rig: Rig) -> None:
    rig.run(calibrated(30, lost=tuple(range(10, 30))), hold_seconds=0.2)
    assert rig.shown == [True] * 15 + [False] * 15  # 0.2 s are 5 frames
    told = np.concatenate([call["keypoints"] for call in rig.engines["pose"].calls])
    np.testing.assert_array_equal(told[9], told[14])
    assert not told[15:].any()


def test_a_hold_does_not_depend_on_the_windows(rig: Rig) -> None:
    lost = (*range(1, 10), 13)
    shown = []
    for choices in ({"window": 8, "overlap": 4}, {"window": 4}, {"window": 8}):
        rig.run(calibrated(20, lost=lost), hold_seconds=0.34, **choices)
        shown.append(rig.shown)
    assert shown[0] == shown[1] == shown[2] == [True] * 9 + [False] + [True] * 10


def test_nan_from_an_engine_names_the_graph(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"the denoise graph gave \d+ of \d+ values of output that are NaN"):
        Rig(tmp_path / "tiny", nan=True).run(calibrated(8))
