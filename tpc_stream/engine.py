"""The seam to whatever runs a graph: named arrays in, named arrays out, `close()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np

from tpc_stream.errors import BundleError, EngineError
from tpc_stream.manifest import GraphSpec, TensorSpec
from tpc_stream.resident import Array, Device, Resident, Value

__all__ = [
    "Array",
    "Backend",
    "Engine",
    "ResidentEngine",
    "Value",
    "check_tensors",
    "fetched",
    "is_black",
    "is_finite",
    "placed",
    "placing",
    "require_finite",
    "require_light",
    "run",
]
_BLACK = -1 + 2 / 255  # of one grey level


class Engine(Protocol):
    """One graph, ready to run."""

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph once. Inputs and outputs have the names, dtypes and shapes of the graph's spec."""
        ...

    def close(self) -> None:
        """Gives back memory and devices; the engine cannot run afterwards."""
        ...


class ResidentEngine(Protocol):
    """An engine whose backend keeps arrays on its device: it takes them there as well, and can leave its own there."""

    @property
    def device(self) -> Device | None:
        """The same for all engines of a backend; None: arrays cross at every call, and `kept` is not called."""
        ...

    def kept(self, inputs: Mapping[str, Value]) -> dict[str, Resident]:
        """Runs the graph once and leaves all outputs on the device. Any input may be there already."""
        ...

    def __call__(self, inputs: Mapping[str, Value]) -> dict[str, Array]:
        """Runs the graph once and brings all outputs down. Any input may be on the device."""
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    """Opens graphs. One file in `tpc_stream/backends/` each."""

    name: str

    def open(self, graph: GraphSpec) -> Engine:
        """Makes the graph ready; BackendError if this backend cannot, BundleError if the graph is not its spec."""
        ...

    def describe(self) -> str:
        """What really runs, such as "ONNX Runtime 1.32.0, CPUExecutionProvider, 2 threads"."""
        ...


def run(engine: Engine, inputs: Mapping[str, Value], *, graph: str) -> dict[str, Value]:
    """Runs a graph whose outputs other graphs read: they stay where they are. EngineError for NaN or infinity."""
    if placing(engine) is None:
        outputs: Mapping[str, Value] = engine(cast(Mapping[str, Array], inputs))
    else:
        outputs = cast(ResidentEngine, engine).kept(inputs)
    for name, array in outputs.items():
        require_finite(array, graph=graph, what=name)
    return dict(outputs)


def fetched(engine: Engine, inputs: Mapping[str, Value]) -> dict[str, Array]:
    """Runs a graph whose outputs come down, whatever is in them."""
    return engine(cast(Mapping[str, Array], inputs))


def placing(engine: Engine) -> Device | None:
    """Where the engine's backend keeps arrays; None where they are NumPy's from call to call."""
    return cast("Device | None", getattr(engine, "device", None))


def placed(engine: Engine, array: Value) -> Value:
    """The array on the engine's device, to be used there more than once; itself where there is none."""
    device = placing(engine)
    return array if device is None or isinstance(array, Resident) else device.send(array)


def check_tensors(graph: GraphSpec, kind: str, declared: tuple[TensorSpec, ...], found: list[TensorSpec]) -> None:
    """Holds a graph's own inputs or outputs against its manifest; BundleError lists what differs."""
    by_name = {tensor.name: tensor for tensor in found}
    differences = [f"{tensor.name} is not in the graph" for tensor in declared if tensor.name not in by_name]
    differences += [f"{name} is not in the manifest" for name in by_name if name not in {t.name for t in declared}]
    for tensor in declared:
        other = by_name.get(tensor.name)
        if other is not None and (other.dtype != tensor.dtype or not _shapes_agree(tensor.shape, other.shape)):
            differences.append(f"the manifest says {tensor}, the graph {other}")
    if differences:
        raise BundleError(f"{graph.path}: the {kind} are not those of the manifest: {'; '.join(differences)}")


def _shapes_agree(declared: tuple[int | str, ...], found: tuple[int | str, ...]) -> bool:
    # a free axis has another name in every exporter, so names are not compared; a free axis may stand for a number
    return len(declared) == len(found) and all(
        isinstance(b, str) or a == b for a, b in zip(declared, found, strict=True)
    )


def require_finite(array: Value, *, graph: str, what: str) -> None:
    """EngineError if the array holds NaN or infinity."""
    if isinstance(array, Resident):
        if is_finite(array):
            return
        array = array.device.fetch(array)  # to count them
    bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise EngineError(
            f"the {graph} graph gave {bad} of {np.size(array)} values of {what} that are NaN or infinite; "
            "try fp32, another backend, or export the bundle again"
        )


def is_finite(array: Value) -> bool:
    """Whether it holds neither NaN nor infinity."""
    if isinstance(array, Resident):
        # a device may only say that it is not sure, as where a sum grew too large
        return array.device.finite(array) or bool(np.isfinite(array.device.fetch(array)).all())
    return bool(np.isfinite(array).all())


def require_light(images: Array, *, graph: str) -> None:
    """EngineError if pictures [N, 3, H, W] in [-1, 1] are black everywhere, as an engine gives that lost its values.

    Nobody who is found in a picture is black in all of it. A pass of many frames is judged as one, so that one dark
    frame is no fault.
    """
    if is_black(images):
        raise EngineError(
            f"the {graph} graph gave {len(images)} pictures that are black everywhere (brightest value "
            f"{images.max():.3f}, black is -1); try another precision, another backend, or export the bundle again"
        )


def is_black(images: Array) -> bool:
    """Whether pictures [N, 3, H, W] in [-1, 1] are black everywhere; none are not."""
    # where a sample of the pixels shows light, which is nearly always, no others are looked at
    return bool(images.size and images[..., ::8, ::8].max() <= _BLACK and images.max() <= _BLACK)
