"""A camera twice as fast as the pipeline: late once, not ever later; and a measure that would see it otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from bench import walker
from bench.overload import Load, overload, twice
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Animator]:
    """62.5 frames a second at the most."""
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("overload") / "tiny", schedules=("window", "diagonal"))
    options = AnimateOptions(bundle=bundle, backend="simulated:denoise=16,decode=4", schedule="diagonal", steps=2)
    with Animator(options, pose_stage=walker.poses) as made:
        made.portrait = walker.portrait(made.plan.canvas)
        list(made.animate(walker.pictures(made.plan.canvas, rate=Fraction(25), frames=4)))
        yield made


@pytest.fixture(scope="module")
def kept_up(animator: Animator) -> Load:
    return overload(animator, rate=Fraction(125), seconds=2.4, parts=6)


def test_the_newest_frames_are_late_but_never_later(kept_up: Load) -> None:
    assert kept_up.failures(flat=2.0) == []  # a machine with other work has moments
    assert kept_up.dropped > 0.4 * kept_up.captured
    assert max(kept_up.depths.values()) <= 2 and kept_up.chunk == 1
    assert kept_up.session.event_count("dropped") == kept_up.dropped
    assert all(part.frames for part in kept_up.parts)


def test_without_a_policy_it_would_be_ever_later(animator: Animator) -> None:
    load = overload(animator, rate=Fraction(125), seconds=2.4, parts=6, drop="none")
    assert load.growth > 2 and load.dropped == 0
    assert any("p99 grew" in failure for failure in load.failures(flat=2.0))


def test_queues_and_memory_are_looked_at_too(kept_up: Load) -> None:
    full = replace(kept_up, depths={"posed": 3})
    assert any("3 frames lay in the queue posed, 2 are allowed" in failure for failure in full.failures(flat=2.0))
    more = replace(kept_up.parts[-1], resident_mb=kept_up.parts[1].resident_mb + 11)
    fat = replace(kept_up, parts=(*kept_up.parts[:-1], more))
    assert fat.failures(flat=2.0) == ["memory grew by 11.0 MB, 10 are allowed"]


def test_the_load_is_twice_what_the_passes_allow(animator: Animator) -> None:
    assert twice(animator, 16.0) == 125
