from __future__ import annotations

import numpy as np
import pytest

from tpc_stream.guidance import Pass, guidance_passes, guided
from tpc_stream.manifest import GuidanceSpec

THREE = GuidanceSpec(kind="reference_and_pose", reference_scale=8.0)


def test_guidance_goes_from_the_unconditional_through_the_conditional() -> None:
    u, c = np.full((1, 1), 1, np.float32), np.full((1, 1), 3, np.float32)
    for scale, wanted in ((0.0, 1.0), (2.5, 6.0)):
        passes = guidance_passes(GuidanceSpec(), scale=scale)
        outputs = [c if item.reference else u for item in passes]
        assert guided(outputs, passes)[0, 0] == wanted


def test_three_part_guidance_is_the_sum_of_what_reference_and_pose_add() -> None:
    u, r, f = (np.random.default_rng(k).standard_normal((2, 3)).astype(np.float32) for k in range(3))
    passes = guidance_passes(THREE, scale=3.0)
    assert [(p.reference, p.pose) for p in passes] == [(True, True), (True, False), (False, False)]
    wanted = u + 8 * (r - u) + 3 * (f - r)
    np.testing.assert_allclose(guided([f, r, u], passes), wanted, atol=1e-5)


@pytest.mark.parametrize("spec", [GuidanceSpec(), THREE])
def test_without_guidance_one_pass_knows_everything(spec: GuidanceSpec) -> None:
    assert guidance_passes(spec, scale=1.0) == (Pass(reference=True, pose=True, weight=1.0),)


def test_a_pass_that_counts_for_nothing_is_not_made() -> None:
    passes = guidance_passes(GuidanceSpec(kind="reference_and_pose", reference_scale=0.5), scale=0.5)
    assert passes == (Pass(True, True, 0.5), Pass(False, False, 0.5))


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0, 7.5])
@pytest.mark.parametrize("spec", [GuidanceSpec(), THREE])
def test_equal_outputs_come_out_unchanged(spec: GuidanceSpec, scale: float) -> None:
    passes = guidance_passes(spec, scale=scale)
    assert sum(item.weight for item in passes) == pytest.approx(1.0)
