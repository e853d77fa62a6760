"""Chunks on a Ray of this machine: the pictures of one process, whatever is lost, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bench import walker
from tests import made_ray
from tests.made_job import job_spec, made, run_alone, run_until, same
from tests.made_ray import run_on_ray, walking_enter
from tpc_stream.cluster import depot
from tpc_stream.cluster.connection import import_ray
from tpc_stream.cluster.luggage import in_shared
from tpc_stream.errors import BundleError, EngineError, InputError
from tpc_stream.job.events import ChunkRetried, Finished, FramesMade, Started
from tpc_stream.job.folder import JobFolder
from tpc_stream.job.spec import JobSpec, make_spec

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module", autouse=True)
def cluster(project: Path, orders: Path) -> Iterator[Any]:
    """A Ray with two cores, in which everybody walks."""
    ray = import_ray()
    # pytest's own folders are too deep: Ray's sockets lie there, and their paths have 107 bytes
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory(prefix="tpc", dir="/tmp") as nodes:
        patched.setattr("tpc_stream.pipeline.prepare_portrait", _person)
        patched.setattr("tpc_stream.cluster.entry.enter", walking_enter)
        patched.setenv("TMPDIR", nodes)
        ray.cloudpickle.register_pickle_by_value(made_ray)
        there = {"PYTHONPATH": str(project), "TPC_TEST_ORDERS": str(orders), "TMPDIR": os.environ["TMPDIR"]}
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
            object_store_memory=100_000_000, runtime_env={"env_vars": there},
        )  # fmt: skip
        try:
            yield ray
        finally:
            ray.shutdown()


def _person(*_: object, width: int, height: int, **__: object) -> object:
    return walker.portrait((width, height))


@pytest.fixture(scope="module")
def whole(tiny: Path, reference: Path, motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job in four chunks, in one process."""
    out = tmp_path_factory.mktemp("whole") / "whole.mkv"
    run_alone(job_spec(tiny, reference, motion, out, codec="ffv1"))
    return out


@pytest.fixture
def spec(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> JobSpec:
    return job_spec(tiny, reference, motion, tmp_path / "out.mkv", codec="ffv1")


def test_a_killed_worker_costs_a_retry_and_no_picture(
    tiny: Path, reference: Path, motion: Path, orders: Path, tmp_path: Path
) -> None:
    """Of twelve chunks, so that the first task has three of them and dies over the second."""
    specs = []
    for name in ("out.mkv", "whole.mkv"):
        short = job_spec(tiny, reference, motion, tmp_path / name, codec="ffv1")
        specs.append(
            make_spec(reference, motion, short.outputs, replace(short.options, max_frames=96), chunk_seconds=0.32)
        )
    spec, whole = specs[0], tmp_path / "whole.mkv"
    run_alone(specs[1])
    (orders / "die_1_a").touch()
    events = list(run_on_ray(spec, store="object"))
    assert isinstance(events[0], Started) and events[0].workers == 2 and isinstance(events[-1], Finished)
    assert [(event.chunk, event.attempt) for event in events if isinstance(event, ChunkRetried)] == [(1, 2)]
    assert sorted(made(events)) == list(range(12)) and same(Path(spec.outputs.path), whole)
    assert {path.name for path in tmp_path.iterdir()} == {"out.mkv", "whole.mkv"}
    assert not list(depot.root_folder().glob("*/files"))


@pytest.mark.slow
def test_a_shared_folder_is_empty_in_the_end(spec: JobSpec, whole: Path, orders: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for name in ("die_3_a", "die_3_b"):
        (orders / name).touch()
    events = list(run_on_ray(spec, store=str(shared)))
    assert [(event.chunk, event.attempt) for event in events if isinstance(event, ChunkRetried)] == [(3, 2), (3, 3)]
    assert same(Path(spec.outputs.path), whole) and not list(shared.iterdir())


@pytest.mark.slow
def test_a_chunk_that_is_lost_too_often_is_named_and_the_rest_goes_on_later(
    spec: JobSpec, whole: Path, orders: Path
) -> None:
    for name in ("die_3_a", "die_3_b"):
        (orders / name).touch()
    with pytest.raises(EngineError, match="chunk 3 could not be made, 2 times: its worker died"):
        list(run_on_ray(spec, retries=1))
    folder = JobFolder.of(spec.outputs.path)
    finished = [number for number in range(4) if folder.whole(number)]
    events = list(run_on_ray(spec, store="object"))
    assert finished  # perhaps with the third, whose worker may be killed when it has all but told of it
    assert sorted(made(events) + finished) == [0, 1, 2, 3] and same(folder.out, whole)


def test_what_one_process_began_is_finished_there(spec: JobSpec, whole: Path) -> None:
    folder = run_until(spec, 2)
    assert sorted(made(list(run_on_ray(spec)))) == [2, 3] and same(folder.out, whole)


def test_another_version_is_refused(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpc_stream.cluster.ray_crew.code_digest", lambda: "f" * 64)
    with pytest.raises(InputError, match=r"the node .* has another tpc-stream \(code .*, the job's is ffffff"):
        list(run_on_ray(spec))


@pytest.mark.parametrize(
    ("file", "message"),
    [("manifest.toml", "bundle's manifest .sha256. was"), ("denoise.onnx", "is not the file of its manifest")],
)
def test_another_bundle_in_the_shared_folder_is_refused(
    tiny: Path, reference: Path, motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    shared = tmp_path / "shared"
    shutil.copytree(tiny, shared / "bundle")
    spec = job_spec(shared / "bundle", reference, motion, tmp_path / "out.mkv", codec="ffv1")

    def changed(*arguments: Any) -> dict[str, str]:
        """Somebody replaces it between the check of the job and the first chunk."""
        found = in_shared(*arguments)
        with (shared / "bundle" / file).open("ab") as target:
            target.write(b"\n# other\n")
        return found

    monkeypatch.setattr("tpc_stream.cluster.ray_crew.in_shared", changed)
    with pytest.raises((InputError, BundleError), match=message):
        list(run_on_ray(spec, store=str(shared)))
    assert [path.name for path in shared.iterdir()] == ["bundle"]


@pytest.mark.slow
def test_a_segment_that_comes_otherwise_is_made_again(
    spec: JobSpec, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, damaged = JobFolder.take, [2]

    def flipped(folder: JobFolder, number: int, segment: bytes) -> None:
        if number in damaged:
            damaged.remove(number)
            segment = segment[:-1] + bytes([segment[-1] ^ 1])
        take(folder, number, segment)

    monkeypatch.setattr(JobFolder, "take", flipped)
    events = list(run_on_ray(spec, store="object"))
    told = [(event.chunk, event.reason) for event in events if isinstance(event, ChunkRetried)]
    assert told == [(2, "its segment is not what its worker wrote (sha256)")] and same(Path(spec.outputs.path), whole)


def test_the_end_of_the_job_is_the_end_of_its_tasks(spec: JobSpec, orders: Path, cluster: Any) -> None:
    (orders / "wait").touch()
    try:
        events = run_on_ray(spec)
        assert any(isinstance(event, FramesMade) for event in events)
        assert cluster.available_resources().get("CPU", 0) < 2
        events.close()
        until = time.monotonic() + 20
        while cluster.available_resources().get("CPU", 0) < 2:  # they would go on for a minute
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        (orders / "wait").unlink()
