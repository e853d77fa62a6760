"""A graph becomes a TensorRT plan. Written against TensorRT 10 and 11's documented Python API; never run so far.

TensorRT 11 has strong typing only: each tensor has the type that the graph gives it. That is what "graph" means, and
why it is the default; half precision then comes from the bundle (`python -m export NAME --precision fp16`), as do fp8
and int8 (Q/DQ nodes). "fp32" is the same without TensorFloat-32, whose products keep 10 bits. "fp16" and "bf16" let
TensorRT 10 choose lower precision itself, which 11 no longer can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import tensorrt as trt

from tpc_stream.errors import BackendError
from tpc_stream.manifest import GraphSpec
from tpc_stream.plans.shapes import ProfileShape

Precision = Literal["graph", "fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SUM_OF = "tpc_sum_of_"
"""What the names of outputs begin with that a plan has besides its graph's: see `_add_sums`."""
Progress = Callable[[str, float], None]
"""Told what the builder does, and the share of it that is done, [0, 1]."""


class CollectingLogger(trt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's errors, so that they can be told."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(" ".join(msg.split()))

    @property
    def told(self) -> str:
        """The last error, or that there is none."""
        return self.errors[-1] if self.errors else "it gave no reason"


class _Monitor(trt.IProgressMonitor):  # type: ignore[misc]
    """Tells the outermost phase's progress; inner ones come and go too fast to be read."""

    def __init__(self, progress: Progress) -> None:
        trt.IProgressMonitor.__init__(self)
        self._progress = progress
        self._steps: dict[str, int] = {}

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        if not parent_phase:
            self._steps[phase_name] = num_steps
            self._progress(phase_name, 0.0)

    def step_complete(self, phase_name: str, step: int) -> bool:
        if phase_name in self._steps:
            self._progress(phase_name, min((step + 1) / max(self._steps[phase_name], 1), 1.0))
        return True

    def phase_finish(self, phase_name: str) -> None:
        if self._steps.pop(phase_name, None) is not None:
            self._progress(phase_name, 1.0)


def build_plan(
    graph: GraphSpec,
    shapes: Sequence[ProfileShape],
    *,
    precision: Precision,
    progress: Progress,
    model: bytes | None = None,
) -> bytes:
    """The serialised plan of a graph; BackendError names the node that TensorRT refuses, or what it ran out of.

    model: the graph itself, where it is no file.
    """
    logger = CollectingLogger()
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(precision))
    parser = trt.OnnxParser(network, logger)
    if not (parser.parse_from_file(str(graph.path)) if model is None else parser.parse(model)):
        raise BackendError(f"TensorRT {trt.__version__} refuses {graph.path}: {_refusals(parser) or logger.told}")
    if model is None:
        _add_sums(network)
    config = builder.create_builder_config()
    config.progress_monitor = _Monitor(progress)
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    elif precision != "graph":
        config.set_flag(getattr(trt.BuilderFlag, precision.upper()))
    profile = builder.create_optimization_profile()
    for shape in shapes:
        profile.set_shape(shape.name, shape.smallest, shape.usual, shape.largest)
    if config.add_optimization_profile(profile) < 0:
        told = "; ".join(map(str, shapes))
        raise BackendError(f"TensorRT does not take the shapes {told} for {graph.path}: {logger.told}")
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"TensorRT cannot build {graph.path}: {logger.told}{_hint(logger.errors)}")
    return bytes(plan)


def require_precision(precision: Precision) -> None:
    """BackendError where this TensorRT cannot choose that precision itself."""
    if precision in ("fp16", "bf16") and not hasattr(trt.BuilderFlag, precision.upper()):
        raise BackendError(
            f"TensorRT {trt.__version__} takes precision from the graph and has no {precision} of its own: export the "
            "bundle with --precision fp16 and leave precision= out, or install TensorRT 10"
        )


def _network_flags(precision: Precision) -> int:
    """Strong typing, where it can be chosen: from version 11 on it always is."""
    if precision in ("graph", "fp32") and int(trt.__version__.split(".")[0]) < 11:
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return 0


def _add_sums(network: trt.INetworkDefinition) -> None:
    """Beside each output of numbers the sum of its values without their signs: finite only if all of them are.

    So that NaN is seen where the output is, and 4 bytes come down instead of it. Not x - x, which the builder knows to
    be 0, and not the largest value, for which NaN may count as the smallest.
    """
    outputs = [network.get_output(k) for k in range(network.num_outputs)]
    for output in outputs:
        if output.dtype != trt.DataType.FLOAT or not len(output.shape):
            continue
        sizes = network.add_unary(output, trt.UnaryOperation.ABS).get_output(0)
        axes = (1 << len(output.shape)) - 1
        total = network.add_reduce(sizes, trt.ReduceOperation.SUM, axes, False).get_output(0)
        total.name = SUM_OF + output.name
        network.mark_output(total)


def _refusals(parser: trt.OnnxParser) -> str:
    errors = (parser.get_error(k) for k in range(parser.num_errors))
    return "; ".join(f"node {e.node_name() or e.node()} ({e.node_operator()}): {e.desc()}" for e in errors)


def _hint(errors: list[str]) -> str:
    text = " ".join(errors).lower()
    if "memory" in text:
        return "; the GPU's memory does not hold it: say trt:frames=N with fewer, or take a bundle with the tiny VAE"
    return ""
