"""What a long video takes: the arithmetic, from figures of a worker that are given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bench import walker
from tests.made_job import known_person
from tpc_stream.bundle import open_bundle
from tpc_stream.cli import main
from tpc_stream.errors import InputError
from tpc_stream.job.cutting import CutConfig
from tpc_stream.job.measuring import Measured
from tpc_stream.job.plan_report import describe
from tpc_stream.job.planning import Crew, JobPlan, Task, plan_job
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import Plan, make_plan

MEASURED = Measured(
    frames=100, cores=2, threads=1, cpu_ms=100.0, wall_ms=60.0, analysis_share=0.4, network_share=0.5, slowest="pose",
    tracker_cpu_seconds=0.15, start_seconds=2.0, start_cpu_seconds=2.0, memory_mb=700.0, parent_mb=150.0,
    bytes_per_frame=400.0,
)  # fmt: skip
CUT = CutConfig(chunk_frames=250, stride_frames=8, overlap_frames=0, warm_up_seconds=Fraction(1, 2))
TASK = Task(frames=25_000, rate=Fraction(25), input_bytes=1e6, bundle_bytes=1000, cut=CUT)
CUT_FRAMES = 13 * 0.4 + 1.5  # half a second of frames, looked at once more, and a tracker, in frames' work
WORK = 25_000 + 99 * CUT_FRAMES


@pytest.fixture
def settled(tiny: Path) -> Plan:
    return make_plan(open_bundle(tiny), AnimateOptions(bundle=tiny, steps=2))


def made(plan: Plan, *, task: Task = TASK, measured: Measured = MEASURED, **crew: int) -> JobPlan:
    return plan_job(task, plan, measured, Crew(**crew))


def test_one_worker_takes_its_time(settled: Plan) -> None:
    plan = made(settled)
    assert (plan.chunks, plan.chunk_seconds, plan.video_seconds) == (100, 10.0, 1000.0)
    assert 3600 * plan.cpu_hours == pytest.approx(WORK * 0.1 + 2)
    assert 3600 * plan.wall_hours == pytest.approx(WORK * 0.06 + 2)
    assert plan.cut_share == pytest.approx(1 - 25_000 / WORK)
    assert plan.memory_mb == 700 and plan.disk_bytes == 2 * 25_000 * 400 and plan.moved_bytes == 0
    assert plan.lost_seconds == pytest.approx((250 + CUT_FRAMES) * 0.06 / 2)
    assert "the stage pose of each worker: 1.7 of 2 cores" in plan.limits[0]


def test_two_workers_have_no_more_than_the_cores(settled: Plan) -> None:
    plan = made(settled, workers=2)
    assert 3600 * plan.wall_hours == pytest.approx(WORK * 0.1 / 2 + 2, rel=0.01)
    assert plan.memory_mb == 2 * 700 + 150
    assert "2 workers would use 3.3 of 2 cores" in plan.limits[0]
    roomy = made(settled, measured=replace(MEASURED, cores=16), workers=2)
    assert 3600 * roomy.wall_hours == pytest.approx(WORK * 0.06 / 2 + 2, rel=0.01)


def test_machines_share_the_chunks_and_fetch_what_they_need(settled: Plan) -> None:
    plan = made(settled, machines=10, workers=2)
    assert 3600 * plan.wall_hours == pytest.approx(2 + 5 * (250 + CUT_FRAMES) * 0.1)  # 5 rounds of 20 chunks
    assert plan.shared_bytes == pytest.approx(0.9 * (1e6 + 25_000 * 400) + 9 * 1000)
    assert plan.moved_bytes == pytest.approx(9 * (1e6 + 1000) + 0.9 * 25_000 * 400)


def test_overlapping_windows_are_made_twice(settled: Plan) -> None:
    lapped = replace(TASK, cut=replace(CUT, stride_frames=4, overlap_frames=4))
    plan = made(replace(settled, passes_per_window=2), task=lapped)
    assert plan.passes == round(25_000 * settled.passes_per_frame) + 99 * 8 * 2
    assert plan.cut_share > made(settled).cut_share


def test_what_limits_is_told(settled: Plan) -> None:
    assert made(settled, workers=200).limits[0] == "100 chunks for 200 workers: the others have nothing"
    assert "100 chunks for 90 workers: 44% of their time is waiting" in made(settled, workers=90).limits[0]
    short = replace(TASK, frames=250, cut=replace(CUT, chunk_frames=0))
    assert any("starting the workers: 12%" in limit for limit in made(settled, task=short).limits)
    with pytest.raises(InputError, match="machines and workers are 1 or more"):
        Crew(machines=0)


def test_gpu_hours_are_told_of_gpus_alone(settled: Plan) -> None:
    plan = made(settled, machines=3, workers=2)
    assert "GPU hours" not in " ".join(describe(plan, MEASURED, backend="onnxrt"))
    told = " ".join(describe(plan, MEASURED, backend="onnxrt:cuda"))
    assert f"{6 * plan.wall_hours:.3g} GPU hours" in told and "3 machines of 2 workers each" in told


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tpc_stream.pipeline.estimate_poses", walker.poses)
    monkeypatch.setattr("tpc_stream.job.measuring.estimate_poses", walker.poses)
    monkeypatch.setattr("tpc_stream.job.plan_report.MEASURED_SECONDS", 0.3)
    with known_person():
        yield


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("quick")
def test_the_command_measures_and_writes_json(
    tiny: Path, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plan.json"
    assert command("-m", motion, "--bundle", tiny, "--hours", 100, "--machines", 3, "--json", out) == 0
    told: dict[str, Any] = json.loads(out.read_text())
    assert told["schema"] == "tpc-stream plan 1" and told["plan"]["frames"] == 100 * 3600 * 25
    assert told["plan"]["chunk_seconds"] == pytest.approx(60, abs=0.5) and told["measured"]["cpu_ms"] > 1
    said = capsys.readouterr().err
    assert "9000000 frames" in said and "3 machines of" in said and "limit:" in said
    assert command("-m", motion, "--bundle", tiny, "--json", tmp_path / "no" / "plan.json") == 2
    assert "cannot write the plan" in capsys.readouterr().err


def test_only_files_are_planned(tiny: Path, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("-m", reference, "--bundle", tiny) == 2
    assert "is image" in capsys.readouterr().err
