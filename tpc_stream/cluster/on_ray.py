"""A job on Ray, from the connection to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from tpc_stream.cluster.connection import connected
from tpc_stream.cluster.ray_config import RayConfig, chunk_needs
from tpc_stream.cluster.ray_crew import RayCrew
from tpc_stream.errors import InputError
from tpc_stream.job.events import Event
from tpc_stream.job.run_job import JobConfig
from tpc_stream.job.spec import JobSpec

Run = Callable[[JobConfig], Generator[Event, None, None]]
"""`run_job` or `resume_job` of a job: all but its config."""


def on_ray(run: Run, spec: JobSpec, *, ray: RayConfig, config: JobConfig) -> Generator[Event, None, None]:
    """Runs the job with its chunks made on the cluster; yields what happens. Closing it leaves nothing running there.

    spec: of that job, which says what a chunk needs. Raises ClusterError where there is no cluster, or no room in it;
    InputError where a node has another tpc-stream, other packages or other inputs; and what `run` raises.
    """
    if config.devices or config.pose_stage is not None:
        raise InputError("Ray chooses the GPUs, and a pose stage of your own cannot be sent: leave them out")
    needs = chunk_needs(spec, ray)
    with connected(ray) as package:
        crew = RayCrew(package, ray, needs)
        yield from run(replace(config, workers=max(1, crew.room()), crew=crew))
