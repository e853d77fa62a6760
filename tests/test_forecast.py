"""What is measured before the start, and what is said where it is not enough."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import tpc_stream
from tests.synthetic import body
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError
from tpc_stream.forecast import MARGIN, Alternative, Forecast, alternatives, forecast
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.pipeline import Animator
from tpc_stream.plan import Plan, make_plan


def slow_poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    for item in frames:
        time.sleep(0.02)
        height, width = item.image.shape[:2]
        yield PosedFrame(item, body(width, height))


MEASURED = Forecast(
    frames=50,
    fps=12.5,
    cpu_ms=110.0,
    busy_ms={"fit": 0.1, "pose": 30.0, "calibrate": 10.0, "condition": 20.0, "denoise": 50.0, "decode": 10.0},
    # one thread for the last three, as a machine of few cores would share them
    threads={"fit": "posed", "pose": "posed", "calibrate": "calibrated"}
    | dict.fromkeys(("condition", "denoise", "decode"), "animated"),
    network_ms=48.0,
    encode_ms=16.0,
    compute_ms=700.0,
    memory_mb=720.0,
)


def test_the_real_pipeline_is_measured_and_left_as_it_was(tiny: Path, reference: Path) -> None:
    with Animator(tpc_stream.AnimateOptions(bundle=tiny), pose_stage=slow_poses) as animator:
        with pytest.raises(InputError, match="set_reference"):
            forecast(animator)
        animator.set_reference(reference)
        before = animator.profiler, animator.source_report, animator.calibration_report
        measured = forecast(animator, seconds=0.5)
        assert (animator.profiler, animator.source_report, animator.calibration_report) == before
        assert before[0].session().frames == 0
    assert measured.frames >= 4
    assert measured.fps < 50  # nothing is faster than its slowest stage
    assert measured.fps > 0.2 * 1e3 / max(measured.busy_ms.values())
    assert measured.busy_ms["pose"] >= 20 and measured.threads["fit"] == measured.threads["pose"]
    assert len({measured.threads[stage] for stage in ("pose", "calibrate", "condition", "denoise", "decode")}) == 5
    assert 0 < measured.encode_ms < measured.busy_ms["condition"]
    assert 0 < measured.network_ms < measured.busy_ms["denoise"]
    assert measured.memory_mb > 50 and measured.compute_ms > 20


def planned(
    folder: Path, *, schedules: tuple[str, ...] = ("window",), **choices: Any
) -> tuple[Plan, list[Alternative]]:
    bundle = open_bundle(make_tiny_bundle(folder / "tiny", schedules=schedules))
    options = tpc_stream.AnimateOptions(**choices)
    return make_plan(bundle, options), alternatives(bundle, options)


def test_a_change_is_worth_what_the_busiest_thread_is_spared(tmp_path: Path) -> None:
    now, others = planned(tmp_path, steps=2, window=8, overlap=0)
    assert [words for words, _ in others] == ["--steps 1", "--no-tpc", "all of these"]
    one_step = others[0][1]
    assert MEASURED.fps_with(now, now) == 12.5
    spared = 48 / 2 + 16 * (1 - one_step.encodes_per_frame / now.encodes_per_frame)
    assert MEASURED.fps_with(now, one_step) == pytest.approx(12.5 * 80 / (80 - spared))
    less = {"condition": 4.0, "denoise": 21.0, "pose": 40.0}
    quick = replace(MEASURED, busy_ms={**MEASURED.busy_ms, **less}, network_ms=20.0, encode_ms=3.0)
    assert quick.fps_with(now, one_step) == pytest.approx(12.5)  # the pose thread sets the pace


def test_real_time_is_promised_only_with_a_margin(tmp_path: Path) -> None:
    settled, others = planned(tmp_path, steps=2, window=8, overlap=4)
    possible = MEASURED.describe(settled, Fraction(11), others)
    assert "about 12.5 frames/s" in possible[0] and "denoise 50.0" in possible[0] and "720 MB" in possible[0]
    assert "fit" not in possible[0]
    assert possible[1].startswith("real time at 11 frames/s is possible; end to end about 0.70 s and up to 0.64 s")
    assert MEASURED.describe(settled, Fraction(12), others)[1].startswith("warning: real time is not possible")
    assert len(MEASURED.describe(settled, None, others)) == 1


def test_the_warning_says_what_would_help(tmp_path: Path) -> None:
    settled, others = planned(tmp_path, steps=2, window=8, overlap=4)
    warning, enough, helps = MEASURED.describe(settled, Fraction(15), others)[1:]
    assert "the source gives 15 frames/s, about 12.5 can be made of it" in warning
    assert "--overlap 0 (about 17.9 frames/s)" in enough and f"at most {12.5 / MARGIN:.1f} frames/s" in enough
    assert "--no-tpc (about 15.6)" in helps
    assert "a source of at most" in MEASURED.describe(settled, Fraction(60), others)[2]
    lean, none = planned(tmp_path / "lean", steps=1, window=8, overlap=0, tpc=False)
    assert none == []
    only = MEASURED.describe(lean, Fraction(15), none)[2]
    assert only == "what would make it possible: a source of at most 11.4 frames/s"


def test_the_diagonal_is_named_where_it_makes_the_delay_shorter(tmp_path: Path) -> None:
    trained = ("window", "diagonal")
    settled, others = planned(tmp_path, schedules=trained, steps=2, window=8, overlap=0)
    words, diagonal = others[-1]
    assert words == "--schedule diagonal" and diagonal.delay_frames == 1 and settled.delay_frames == 7
    # it encodes every frame's calibrated picture, where groups of 4 encode 0.44 a frame at two steps: slower
    about = MEASURED.fps_with(settled, diagonal)
    assert about == pytest.approx(12.5 * 80 / (80 + 16 * (1 / settled.encodes_per_frame - 1)))
    told = MEASURED.describe(settled, Fraction(8), others)
    assert (
        told[2]
        == f"what would make the structural delay shorter: --schedule diagonal (0.12 s, about {about:.1f} frames/s)"
    )
    assert len(MEASURED.describe(settled, Fraction(11), others)) == 2, "it would be too slow for 11 frames/s"
    assert "--schedule" not in " ".join(MEASURED.describe(settled, Fraction(15), others)), "nor does it help there"
    for choices in ({"schedule": "diagonal"}, {"window": 1}):
        _, none = planned(tmp_path / "same", schedules=trained, **choices)
        assert "--schedule diagonal" not in [words for words, _ in none]
    _, none = planned(tmp_path / "untrained", steps=2, window=8, overlap=0)
    assert "--schedule diagonal" not in [words for words, _ in none]
