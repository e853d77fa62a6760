"""`--ray` as it is typed: signals, two nodes of which one dies, a node with another tpc-stream. With real poses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.made_job import same
from tests.test_job_kill import command
from tpc_stream.cluster.connection import import_ray

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")]


@pytest.fixture(scope="module")
def whole(tiny: Path, reference: Path, motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo in one process, never killed."""
    out = tmp_path_factory.mktemp("whole") / "out.mp4"
    subprocess.run(command(tiny, reference, motion, out), check=True, capture_output=True)
    return out


@pytest.fixture
def call(tiny: Path, reference: Path, motion: Path, tmp_path: Path) -> list[str]:
    return command(tiny, reference, motion, tmp_path / "out.mp4", "--progress", "json")


Start = Callable[[list[str]], "subprocess.Popen[str]"]


@pytest.fixture
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Begins a program, in an empty folder, since Ray's workers look for modules where it was begun."""
    begun = []

    def start(call: list[str]) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        folder = tmp_path_factory.mktemp("begun")
        begun.append(subprocess.Popen(call, text=True, start_new_session=True, cwd=folder, **streams))
        return begun[-1]

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], wanted: str) -> list[dict[str, Any]]:
    """The events up to the first of that name, which has to come."""
    told = []
    assert process.stdout is not None
    for line in process.stdout:
        told.append(json.loads(line))
        if told[-1]["event"] == wanted:
            return told
    raise AssertionError(f"no {wanted} came: {process.communicate()[1]}")


def until_at_work(node: Any, process: subprocess.Popen[str]) -> None:
    """Returns when a worker of this node makes a chunk; Ray names its processes after what they run."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    while process.poll() is None:
        for worker in raylet.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "ray::enter" in " ".join(worker.cmdline()):
                    return
        time.sleep(0.05)
    raise AssertionError(f"the node was never at work: {process.communicate()[1]}")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_ended_and_resumed_on_a_ray_of_our_own(
    call: list[str], started: Start, tmp_path: Path, whole: Path, number: signal.Signals, code: int
) -> None:
    process = started([*call, "--ray", "local", "--workers", "2"])
    until(process, "chunk")
    all_of_it = psutil.Process(process.pid).children(recursive=True)
    assert any("raylet" in other.name() for other in all_of_it)
    # a terminal sends Ctrl-C to the whole group, of which Ray's own processes must take no notice
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert number == signal.SIGKILL or "go on with: tpc-stream resume" in told
    assert not psutil.wait_procs(all_of_it, timeout=120)[1]
    done = subprocess.run([*call, "--ray", "local", "--workers", "2"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[0])["finished_chunks"] >= 1
    assert same(tmp_path / "out.mp4", whole) and [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head with one core; a test adds its nodes."""
    import_ray()
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    yield made
    made.shutdown()


@pytest.mark.parametrize("store", ["object", "folder"])
def test_a_node_that_dies_is_done_without(
    call: list[str], started: Start, tmp_path: Path, whole: Path, cluster: Any, store: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    second = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    shared = tmp_path_factory.mktemp("shared")
    process = started([*call, "--ray", cluster.address, "--store", store if store == "object" else str(shared)])
    until_at_work(second, process)
    cluster.remove_node(second, allow_graceful=False)
    rest, errors = process.communicate(timeout=300)
    told = [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0, errors
    assert told[0]["workers"] == 2
    retried = [event for event in told if event["event"] == "retry"]
    assert len(retried) == 1 and retried[0]["attempt"] == 2, told
    assert same(tmp_path / "out.mp4", whole) and [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert not list(shared.iterdir())


def test_a_node_with_another_version_is_refused(
    call: list[str], started: Start, tmp_path: Path, cluster: Any, project: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(project / "tpc_stream", other / "tpc_stream", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "tpc_stream" / "errors.py").open("a") as file:
        file.write("# of tomorrow\n")
    cluster.add_node(num_cpus=1, object_store_memory=100_000_000, env_vars={"PYTHONPATH": str(other)})
    began = time.monotonic()
    process = started([*call, "--ray", cluster.address])
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2 and "has another tpc-stream (code" in told, told
    assert (tmp_path / "out.mp4.tpc" / "job.json").exists()
    print(told, time.monotonic() - began)
