"""`tpc-stream build`: the plans of a bundle, ahead of time, so that the first video does not wait for them."""

from __future__ import annotations

from typing import Annotated

import typer

from tpc_stream import cli_options as opt
from tpc_stream.commands.shell import Verbose, console, set_verbosity


def build(
    bundle: opt.Bundle = "mannequin",
    backend: Annotated[str, typer.Option(help="trt, trt:frames=16, trt:precision=fp16: see docs/gpu.md.")] = "trt",
    verbose: Verbose = 0,
) -> None:
    """Build a bundle's TensorRT plans for the GPU that is here; animate does it by itself the first time."""
    from tpc_stream.backends import open_backend
    from tpc_stream.backends.trt import TensorRTBackend
    from tpc_stream.bundle import open_bundle
    from tpc_stream.errors import InputError

    if verbose:
        set_verbosity(verbose)
    if backend.partition(":")[0] != "trt":
        raise InputError(f"the backend {backend!r} builds nothing ahead of time: give --backend trt")
    opened = open_bundle(bundle)
    builder = open_backend(backend)
    if not isinstance(builder, TensorRTBackend):
        raise InputError(f"the backend {backend!r} builds nothing ahead of time: give --backend trt")
    told = console()
    told.print(f"{opened.manifest.name}: {builder.describe()}", highlight=False, markup=False)
    for role, graph in opened.manifest.graphs.items():
        with told.status(f"{role} ..."):
            plan = builder.prepare(graph)
        how = f"built in {plan.build_seconds:.0f} s" if plan.new else "there already"
        told.print(f"{role}: {how}, {len(plan.data) / 2**20:.1f} MiB, {plan.path}", markup=False, soft_wrap=True)
