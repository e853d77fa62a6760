"""The seam to whatever runs a graph: named arrays in, named arrays out, `close()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tpc_stream.errors import BundleError, EngineError
from tpc_stream.manifest import GraphSpec, TensorSpec

Array = NDArray[Any]
_BLACK = -1 + 2 / 255  # of one grey level


class Engine(Protocol):
    """One graph, ready to run."""

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph once. Inputs and outputs have the names, dtypes and shapes of the graph's spec."""
        ...

    def close(self) -> None:
        """Gives back memory and devices; the engine cannot run afterwards."""
        ...


class Backend(Protocol):
    """Opens graphs. One file in `tpc_stream/backends/` each."""

    name: str

    def open(self, graph: GraphSpec) -> Engine:
        """Makes the graph ready; BackendError if this backend cannot, BundleError if the graph is not its spec."""
        ...

    def describe(self) -> str:
        """What really runs, such as "ONNX Runtime 1.32.0, CPUExecutionProvider, 2 threads"."""
        ...


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


def require_finite(array: Array, *, graph: str, what: str) -> None:
    """EngineError if the array holds NaN or infinity."""
    bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise EngineError(
            f"the {graph} graph gave {bad} of {np.size(array)} values of {what} that are NaN or infinite; "
            "try fp32, another backend, or export the bundle again"
        )


def require_light(images: Array, *, graph: str) -> None:
    """EngineError if pictures [N, 3, H, W] in [-1, 1] are black everywhere, as an engine gives that lost its values.

    Nobody who is found in a picture is black in all of it. A pass of many frames is judged as one, so that one dark
    frame is no fault.
    """
    # where a sample of the pixels shows light, which is nearly always, no others are looked at
    if images.size == 0 or images[..., ::8, ::8].max() > _BLACK or images.max() > _BLACK:
        return
    raise EngineError(
        f"the {graph} graph gave {len(images)} pictures that are black everywhere (brightest value {images.max():.3f}, "
        "black is -1); try another precision, another backend, or export the bundle again"
    )
