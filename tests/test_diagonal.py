"""The diagonal schedule against the window schedule, pass by pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import calibrated
from tests.test_denoise import Rig
from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import make_plan


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "tiny", steps=4, schedules=("window", "diagonal"))


@pytest.mark.parametrize(("chunk", "steps", "frames"), [(1, 1, 5), (1, 2, 7), (2, 2, 8), (2, 4, 7), (4, 3, 14)])
def test_frames_become_what_a_window_of_their_chunk_makes_of_them(
    rig: Rig, chunk: int, steps: int, frames: int
) -> None:
    """The tiny bundle keeps frames apart, so that only the order of the work may differ, and nothing of its result."""
    sizes = {"window": chunk, "group_size": chunk, "steps": steps}
    window = rig.run(calibrated(frames), **sizes)
    diagonal = rig.run(calibrated(frames), schedule="diagonal", **sizes)
    np.testing.assert_allclose(diagonal, window, atol=1e-5)
    leaving = [k for k, ends in enumerate(rig.batches) if ends]
    assert leaving == sorted({*range(chunk - 1, frames, chunk), frames - 1})


def test_guidance_and_no_tpc_as_well(rig: Rig) -> None:
    for choices in ({"guidance_scale": 2.0}, {"tpc": False}):
        sizes = {"window": 2, "group_size": 2, "steps": 3, **choices}
        window = rig.run(calibrated(9), **sizes)
        np.testing.assert_allclose(rig.run(calibrated(9), schedule="diagonal", **sizes), window, atol=1e-5)


def test_a_tick_is_one_pass_over_chunks_at_falling_noise_levels(rig: Rig) -> None:
    rig.run(calibrated(8), schedule="diagonal", window=2, group_size=2, steps=3)
    told = [[round(float(t), 3) for t in call["timesteps"]] for call in rig.engines["denoise"].calls]
    t = [1.0, 0.667, 0.333]
    full = [t[2]] * 2 + [t[1]] * 2 + [t[0]] * 2
    assert told == [full[4:], full[2:], full, full, full[:4], full[:2]]


def test_frames_leave_as_soon_as_the_diagonal_lets_them(rig: Rig) -> None:
    taken: list[int] = []

    def watched():
        for item in calibrated(6):
            taken.append(item.frame.index)
            yield item

    from contextlib import nullcontext

    from tests.synthetic import portrait
    from tpc_stream.denoise import DenoiseConfig, denoise

    config = DenoiseConfig(steps=2, guidance_scale=1.0, window=1, overlap=0, group_size=1, schedule="diagonal")
    made = denoise(
        watched(), bundle=rig.bundle, engines=rig.engines, portrait=portrait(), config=config,
        span=lambda name: nullcontext(),
    )  # fmt: skip
    assert next(made).index == 0
    assert taken == [0, 1], "frame 0 waits for frame 1, and for no other"


def plan_of(folder: Path, **choices: object):
    return make_plan(open_bundle(folder), AnimateOptions(bundle=folder, **choices))


def test_the_plan_knows_the_delay(rig: Rig) -> None:
    plan = plan_of(rig.bundle.folder, schedule="diagonal", chunk=2, steps=3)
    assert plan.denoise.schedule == "diagonal" and plan.denoise.group_size == 2
    assert plan.delay_seconds(10) == pytest.approx(0.5), "2 chunks of 2, and the one frame that shares its chunk"
    assert plan.new_frames == 2 and plan.passes_per_frame == 3
    assert "diagonal of 3 chunks of 2 frames" in plan.describe(None, None)[1]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"schedule": "diagonal", "window": 8}, "--chunk instead of --window 8"),
        ({"schedule": "diagonal", "overlap": 4}, "--chunk instead of --overlap 4"),
        ({"schedule": "diagonal", "chunk": 2, "group_size": 4}, "is a chunk of 2 frames"),
        ({"schedule": "diagonal", "chunk": 40, "steps": 4}, "40 at 4 noise levels: 160"),
        ({"chunk": 2}, "--schedule diagonal"),
    ],
)
def test_impossible_sizes_are_refused(rig: Rig, choices: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(rig.bundle.folder, **choices)


def test_a_bundle_that_was_not_trained_for_it_says_so_and_runs_windows(tmp_path: Path) -> None:
    folder = Rig(tmp_path / "plain").bundle.folder
    plan = plan_of(folder, schedule="diagonal")
    assert plan.denoise.schedule == "window" and plan.denoise.window == 8
    assert "not trained for mixed noise levels" in plan.describe(None, None)[-1]
