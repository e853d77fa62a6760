"""The scenarios offer frames as they say, the bounds are MLPerf's, and results compare."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

import tpc_stream
from bench import latency, results, scenarios
from bench.early_stopping import allowed_over, estimate, samples_needed
from bench.results import Result
from bench.scenarios import live, offline, single_stream, there_and_back
from tests.fake_clock import time_limit
from tests.synthetic import body, frame, portrait
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.frame import Frame, PosedFrame
from tpc_stream.pipeline import Animator


def stick_poses(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
    for item in frames:
        height, width = item.image.shape[:2]
        yield PosedFrame(item, body(width, height))


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Animator]:
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("bench") / "tiny", window=4, overlap=2)
    with Animator(tpc_stream.AnimateOptions(bundle=bundle, group_size=2), pose_stage=stick_poses) as made:
        made.set_reference(reference)
        list(made.animate(frame(k) for k in range(4)))
        yield made


CLIP = [frame(k) for k in range(6)]


@pytest.fixture(scope="module")
def made(animator: Animator, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return offline(animator, CLIP, tmp_path_factory.mktemp("offline"), rate=25.0, name="x")


def test_bounds_are_mlperfs() -> None:
    assert [allowed_over(n, 0.9) for n in (43, 44, 63, 64)] == [None, 0, 0, 1]
    assert (samples_needed(0.9), samples_needed(0.99)) == (44, 459)
    assert [allowed_over(n, 0.99) for n in (458, 459, 662)] == [None, 0, 1]
    assert allowed_over(24576, 0.9) == pytest.approx(2350, abs=5)


def test_a_bound_holds_as_often_as_it_says() -> None:
    chance = random.Random(0)
    wrong = 0
    for _ in range(400):
        bound = estimate([chance.random() for _ in range(100)], 0.9).bound
        assert bound is not None
        wrong += bound < 0.9
    assert wrong <= 12  # 1 % of 400, and chance


def test_enough_is_64_samples_that_agree() -> None:
    assert not estimate([10.0] * 63, 0.9).enough
    assert estimate([10.0] * 64, 0.9).enough
    scattered = [float(k) for k in range(100)]
    assert not estimate(scattered, 0.9).enough
    assert estimate(scattered, 0.5).value == 49.5
    assert not estimate([10.0] * 400, 0.99).enough  # 459 are needed to say anything of p99


def test_the_clip_goes_there_and_back_without_a_jump() -> None:
    frames = there_and_back(CLIP[:3], rate=30.0)
    given = [next(frames) for _ in range(7)]
    assert [item.index for _, item in given] == list(range(7))
    assert [int(item.image[0, 0, 0]) // 7 for _, item in given] == [0, 1, 2, 1, 0, 1, 2]
    assert given[6][1].pts_seconds == pytest.approx(0.2)


def test_single_stream_offers_a_chunk_when_the_last_has_left(
    animator: Animator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "LEAST_SAMPLES", 1)
    result = single_stream(animator, CLIP, tmp_path, rate=25.0, max_seconds=1.0, name="x")
    assert result.frames_per_sample == 2 and result.samples >= 1
    assert result.stages["source"]["p90_ms"] < 5  # waiting for its turn is not the source's work
    assert result.value_ms == pytest.approx(estimate([result.latency["p90_ms"]], 0.9).value)
    # nobody else's frames are in the way: a chunk's samples follow one another without a gap
    assert result.samples * result.latency["p50_ms"] > 500


def test_single_stream_fills_the_diagonal_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "LEAST_SAMPLES", 1)
    bundle = make_tiny_bundle(tmp_path / "tiny", schedules=("window", "diagonal"))
    options = tpc_stream.AnimateOptions(
        bundle=bundle, backend="simulated:denoise=20", schedule="diagonal", chunk=2, steps=3
    )
    with Animator(options, pose_stage=stick_poses) as animator, time_limit(30):
        animator.portrait = portrait(256, 256)
        result = single_stream(animator, CLIP, tmp_path, rate=25.0, max_seconds=0.3, name="x")
    assert result.frames_per_sample == 2 and result.samples >= 1
    assert result.value_ms >= 20, "a tick's pass"


def test_live_frames_are_captured_when_they_are_due(
    animator: Animator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "LEAST_SAMPLES", 1)
    result = live(animator, CLIP, tmp_path, rate=20.0, max_seconds=1.0, name="x")
    assert result.samples == 21 and result.rate == 20.0
    assert result.parts["structural"] > 20  # a window's first new frame waits for the next, 50 ms
    assert abs(result.parts["unaccounted"]) < 0.1 * sum(result.parts.values())


def test_overload_shows_as_latency(
    tmp_path: Path, tiny: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "LEAST_SAMPLES", 1)

    def slow(frames: Iterable[Frame]) -> Iterator[PosedFrame]:
        for item in stick_poses(frames):
            time.sleep(0.03)
            yield item

    with Animator(tpc_stream.AnimateOptions(bundle=tiny, window=1, group_size=1), pose_stage=slow) as animator:
        animator.set_reference(reference)
        result = live(animator, CLIP, tmp_path, rate=100.0, max_seconds=0.2, name="x")
    assert result.samples == 21
    assert result.latency["max_ms"] > 21 * 28 - 210  # the last was due at 0.2 s and done after 21 x 30 ms
    assert result.miss_rate > 0.5


def test_offline_takes_all_there_is_and_results_compare_stage_by_stage(made: Result) -> None:
    assert made.samples == 64 and made.fps > 0 and made.misses == 0
    console = Console(width=120)
    with console.capture() as captured:
        console.print(results.compare([made], [replace(made, fps=made.fps / 2)]))
    (line,) = [line for line in captured.get().splitlines() if "frames/s" in line]
    assert "2.000" in line
    for stage in ("pose", "calibrate", "denoise", "decode", "encode"):
        assert any(f" {stage} " in line and "1.000" in line for line in captured.get().splitlines())


def test_results_are_read_back_and_others_refused(made: Result, tmp_path: Path) -> None:
    facts = results.environment(steps=2)
    path = tmp_path / "old.json"
    results.write(path, [made], facts)
    again, environment = results.read(path)
    assert asdict(again[0]) == asdict(made) and environment == facts
    assert results.differences({**facts, "cores": 99}, facts) == [f"cores: {facts['cores']} then, 99 now"]
    assert results.environment(steps=3)["fingerprint"] != facts["fingerprint"]
    assert results.environment(steps=2)["fingerprint"] == facts["fingerprint"]
    path.write_text(json.dumps({"schema": "x"}))
    with pytest.raises(ValueError, match="no result file of this version"):
        results.read(path)
    assert latency.main(["--against", str(tmp_path / "none.json")]) == 2
