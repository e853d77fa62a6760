"""What the tests of Ray share: people who walk, so that no worker needs a pose model, and workers that die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from tpc_stream.cluster import entry
from tpc_stream.cluster.on_ray import on_ray
from tpc_stream.cluster.ray_config import RayConfig
from tpc_stream.job.events import Event
from tpc_stream.job.run_job import JobConfig, run_job
from tpc_stream.job.spec import JobSpec

_enter = entry.enter


def walking_enter(job: dict[str, Any], numbers: list[int]) -> Iterator[tuple[Any, ...]]:
    """The task as it is, among people who walk by the index of the frame.

    A file `die_N_x` among the orders costs the worker that finds it over chunk N its life; `wait` makes every chunk
    stay at its first frame.
    """
    import tpc_stream.pipeline
    from bench import walker

    tpc_stream.pipeline.prepare_portrait = lambda *_, width, height, **__: walker.portrait((width, height))
    tpc_stream.pipeline.estimate_poses = walker.poses
    orders = Path(os.environ["TPC_TEST_ORDERS"])
    left = list(numbers)
    for answer in _enter(job, numbers):
        for order in orders.glob(f"die_{left[0]}_*"):
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (orders / "wait").exists():
            yield ("frames", 1)
            time.sleep(60)
        if answer[0] == "segment":
            left.pop(0)
        yield answer


def run_on_ray(spec: JobSpec, *, retries: int = 2, keep: bool = False, **config: Any) -> Generator[Event, None, None]:
    """The job on the Ray that the tests are connected to."""
    ray = RayConfig(**{"address": "local", "workers": 2, **config})
    ours = JobConfig(retries=retries, keep=keep)
    return on_ray(lambda config: run_job(spec, config=config), spec, ray=ray, config=ours)
