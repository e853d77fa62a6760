"""TensorRT itself: graphs become plans for the GPU that is here, once, and are kept.

--backend trt                          the types that the graph has, passes of up to the bundle's window
--backend trt:frames=16                up to 16 frames in a pass (--window, or --chunk times the steps)
--backend trt:precision=fp16           TensorRT 10 alone: let it choose half precision
--backend trt:graphs=off               no CUDA graphs: each pass is launched kernel by kernel

Never run so far, for want of a GPU: docs/gpu.md says what was tested and how.
"""

from __future__ import annotations

import hashlib
import logging
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tpc_stream.backends.tiny_graphs import mixing
from tpc_stream.engine import Array, Engine
from tpc_stream.errors import BackendError, EngineError, InputError
from tpc_stream.manifest import GraphSpec, TensorSpec
from tpc_stream.manifest_file import read_manifest
from tpc_stream.plans.cache import Plan, PlanCache
from tpc_stream.plans.find_gpu import find_gpus
from tpc_stream.plans.key import PlanKey
from tpc_stream.plans.shapes import ProfileShape, profile_shapes
from tpc_stream.resident import Resident

if TYPE_CHECKING:
    from tpc_stream.backends.cuda_device import CudaDevice
    from tpc_stream.backends.trt_build import Precision, Progress
    from tpc_stream.backends.trt_engine import TensorRTEngine

INSTALL = "pip install tensorrt cuda-bindings"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrtSettings:
    """What follows the colon."""

    frames: int = 0
    """The most that enter one pass; 0: the bundle's window."""
    precision: Precision = "graph"
    graphs: bool = True
    """Whether passes are repeated as CUDA graphs."""

    @classmethod
    def parse(cls, text: str) -> TrtSettings:
        """From "frames=16,precision=fp16". InputError for another form."""
        frames, precision, graphs = 0, "graph", True
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name == "frames" and value.isdecimal() and int(value) > 0:
                frames = int(value)
            elif name == "precision" and value in ("graph", "fp32", "fp16", "bf16"):
                precision = value
            elif name == "graphs" and value in ("on", "off"):
                graphs = value == "on"
            else:
                raise InputError(
                    "the backend trt takes frames=N (1 or more), precision=graph|fp32|fp16|bf16 and graphs=on|off, "
                    f"got {part!r}"
                )
        return cls(frames, precision, graphs)  # type: ignore[arg-type]


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
        self._mixer: TensorRTEngine | None = None
        self._progress = progress or (lambda what, share: _log.info("%s: %.0f %%", what, 100 * share))

    def prepare(self, graph: GraphSpec) -> Plan:
        """The graph's plan, built if it is not kept already."""
        if graph.role == "denoise":
            self._mixing(graph)
        return self._prepared(graph)[0]

    def open(self, graph: GraphSpec) -> Engine:
        from tpc_stream.backends.trt_engine import TensorRTEngine

        plan, shapes = self._prepared(graph)
        if self._mixer is None and graph.role == "denoise":
            spec, mixing, sizes = self._mixing(graph)
            self._mixer = TensorRTEngine(spec, mixing.data, sizes, self.device, graphs=False)
        return TensorRTEngine(graph, plan.data, shapes, self.device, graphs=self.settings.graphs)

    def in_float32(self) -> TensorRTBackend:
        """The same on the same device, with plans that keep all bits of float32."""
        _ = self.device  # made now, or each would make its own
        twin = copy(self)
        twin.settings = replace(self.settings, precision="fp32")
        return twin

    def close(self) -> None:
        """Gives back the memory between engines, which are closed before it."""
        if self._mixer is not None:
            self._mixer.close()
        if "device" in self.__dict__:
            self.device.close()

    @cached_property
    def device(self) -> CudaDevice:
        """Where the arrays of all its engines stay."""
        from tpc_stream.backends.cuda_device import CudaDevice

        return CudaDevice(self._mixed)

    def _mixed(self, first: tuple[Array, Resident], second: tuple[Array, Resident]) -> Resident:
        if self._mixer is None:
            raise EngineError("latents are mixed for a denoise engine, which is opened first")
        (w0, x0), (w1, x1) = first, second
        return self._mixer.kept({"x0": x0, "w0": w0, "x1": x1, "w1": w1})["y"]

    def _mixing(self, denoise: GraphSpec) -> tuple[GraphSpec, Plan, tuple[ProfileShape, ...]]:
        """The plan that weighs and adds two arrays of latents: all that a sampler's step is."""
        manifest = read_manifest(denoise.path.parent)
        shape, most = manifest.latent_shape, self.settings.frames or manifest.window.length
        model = mixing(2, shape)
        named = {"x0": shape, "w0": (1, 1, 1), "x1": shape, "w1": (1, 1, 1)}
        inputs = tuple(TensorSpec(name, "float32", ("F", *rest)) for name, rest in named.items())
        outputs = (TensorSpec("y", "float32", ("F", *shape)),)
        spec = GraphSpec("denoise", Path("mix"), hashlib.sha256(model).hexdigest(), inputs, outputs)
        sizes = tuple(ProfileShape(n, (1, *rest), (most, *rest), (most, *rest)) for n, rest in named.items())
        return spec, self._built(spec, sizes, model), sizes

    def describe(self) -> str:
        return f"TensorRT {self._version}, {self.settings.precision} precision, {self._gpu}"

    def _prepared(self, graph: GraphSpec) -> tuple[Plan, tuple[ProfileShape, ...]]:
        shapes = profile_shapes(read_manifest(graph.path.parent), graph, frames=self.settings.frames)
        return self._built(graph, shapes, None), shapes

    def _built(self, graph: GraphSpec, shapes: tuple[ProfileShape, ...], model: bytes | None) -> Plan:
        from tpc_stream.backends.trt_build import build_plan

        precision = self.settings.precision
        key = PlanKey.of(graph, shapes, precision=precision, tensorrt=self._version, gpu=self._gpu)

        def build() -> bytes:
            before = self._cache.seconds_before(key)
            told = "some minutes" if before is None else f"about {before:.0f} s, as the last time"
            if model is None:
                _log.warning("building the TensorRT plan of %s for %s, once: %s", graph.role, self._gpu.name, told)
            return build_plan(graph, shapes, precision=precision, progress=self._progress, model=model)

        return self._cache.find_or_build(key, build)


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
