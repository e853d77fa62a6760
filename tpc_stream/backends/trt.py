"""TensorRT itself: graphs become plans for the GPU that is here, once, and are kept.

--backend trt                          the types that the graph has, passes of up to the bundle's window
--backend trt:frames=16                up to 16 frames in a pass (--window, or --chunk times the steps)
--backend trt:precision=fp16           TensorRT 10 alone: let it choose half precision

Never run so far, for want of a GPU: docs/gpu.md says what was tested and how.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tpc_stream.engine import Engine
from tpc_stream.errors import BackendError, InputError
from tpc_stream.manifest import GraphSpec
from tpc_stream.manifest_file import read_manifest
from tpc_stream.plans.cache import Plan, PlanCache
from tpc_stream.plans.find_gpu import find_gpus
from tpc_stream.plans.key import PlanKey
from tpc_stream.plans.shapes import ProfileShape, profile_shapes

if TYPE_CHECKING:
    from tpc_stream.backends.trt_build import Precision, Progress

INSTALL = "pip install tensorrt cuda-bindings"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrtSettings:
    """What follows the colon."""

    frames: int = 0
    """The most that enter one pass; 0: the bundle's window."""
    precision: Precision = "graph"

    @classmethod
    def parse(cls, text: str) -> TrtSettings:
        """From "frames=16,precision=fp16". InputError for another form."""
        frames, precision = 0, "graph"
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name == "frames" and value.isdecimal() and int(value) > 0:
                frames = int(value)
            elif name == "precision" and value in ("graph", "fp16", "bf16"):
                precision = value
            else:
                raise InputError(
                    f"the backend trt takes frames=N (1 or more) and precision=graph|fp16|bf16, got {part!r}"
                )
        return cls(frames, precision)  # type: ignore[arg-type]


class TensorRTBackend:
    """Builds and opens plans. BackendError at once where a library, the driver or a GPU is missing."""

    name = "trt"

    def __init__(
        self, settings: TrtSettings | None = None, *, cache: PlanCache | None = None, progress: Progress | None = None
    ) -> None:
        require_packages()
        import tensorrt

        from tpc_stream.backends.trt_build import require_precision

        self.settings = settings or TrtSettings()
        require_precision(self.settings.precision)
        self._version = str(tensorrt.__version__)
        self._gpu = find_gpus()[0]
        self._cache = cache or PlanCache()
        self._progress = progress or (lambda what, share: _log.info("%s: %.0f %%", what, 100 * share))

    def prepare(self, graph: GraphSpec) -> Plan:
        """The graph's plan, built if it is not kept already."""
        return self._prepared(graph)[0]

    def open(self, graph: GraphSpec) -> Engine:
        from tpc_stream.backends.trt_engine import TensorRTEngine

        plan, shapes = self._prepared(graph)
        return TensorRTEngine(graph, plan.data, shapes)

    def describe(self) -> str:
        return f"TensorRT {self._version}, {self.settings.precision} precision, {self._gpu}"

    def _prepared(self, graph: GraphSpec) -> tuple[Plan, tuple[ProfileShape, ...]]:
        from tpc_stream.backends.trt_build import build_plan

        precision = self.settings.precision
        shapes = profile_shapes(read_manifest(graph.path.parent), graph, frames=self.settings.frames)
        key = PlanKey.of(graph, shapes, precision=precision, tensorrt=self._version, gpu=self._gpu)

        def build() -> bytes:
            before = self._cache.seconds_before(key)
            told = "some minutes" if before is None else f"about {before:.0f} s, as the last time"
            _log.warning("building the TensorRT plan of %s for %s, once: %s", graph.role, self._gpu.name, told)
            return build_plan(graph, shapes, precision=precision, progress=self._progress)

        return self._cache.find_or_build(key, build), shapes


def require_packages() -> None:
    """BackendError with the command that installs what is not there."""
    missing = [name for name in ("tensorrt", "cuda") if find_spec(name) is None]
    if missing:
        raise BackendError(f"the backend trt needs the packages tensorrt and cuda-bindings: {INSTALL}")
    try:
        import tensorrt
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(f"TensorRT is installed and cannot be loaded: {error}; {INSTALL}") from error
    if not hasattr(tensorrt, "OnnxParser"):  # a package of type stubs alone is imported as well
        raise BackendError(f"the installed tensorrt is not the library: {INSTALL}")


def open_backend(*, threads: int, settings: str) -> TensorRTBackend:
    """`settings`: see `TrtSettings.parse`; no thread of the CPU is used."""
    return TensorRTBackend(TrtSettings.parse(settings))
