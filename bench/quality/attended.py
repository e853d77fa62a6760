"""Where a bundle's denoiser looks: its attention weights, read while it runs.

A bundle's graph gives no attention. So a copy of it is opened whose softmax nodes are outputs as well; the weights, and
what comes out, are those of the bundle. It fits graphs as the mannequin's: keys are [own, r, c], one softmax a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from tpc_stream.engine import Array
from tpc_stream.errors import InputError
from tpc_stream.manifest import GraphSpec


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer's attention in one pass, of layers whose reference tokens lie in rows and columns as its own."""

    number: int
    own: NDArray[np.float32]
    """[F, side, side]: how much each token keeps to its own picture; means over the heads, [0, 1]."""
    reference: NDArray[np.float32]
    """[F, side, side, side, side]: from each token (row, column) of a frame to each of r."""
    calibrated: NDArray[np.float32] | None
    """The same, to each of the c_i that the frame uses; None without calibration."""


class AttendedDenoiser:
    """The denoise engine; `passes` grows by one list of layers a call."""

    def __init__(self, graph: GraphSpec, *, threads: int) -> None:
        model = onnx.load(str(graph.path))
        self._weights = [node.output[0] for node in model.graph.node if node.op_type == "Softmax"]
        if not self._weights:
            raise InputError(f"{graph.path} has no softmax node: its attention cannot be read")
        floats = onnx.TensorProto.FLOAT
        model.graph.output.extend(onnx.helper.make_tensor_value_info(n, floats, None) for n in self._weights)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = list(graph.output_names)
        self.passes: list[list[Layer]] = []

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        found = self._session.run([*self._names, *self._weights], dict(inputs))
        layers = []
        for number, weights in enumerate(found[len(self._names) :]):
            tokens = [inputs[f"{kind}_{number:02d}"].shape[1] for kind in ("reference", "calibrated")]
            if weights.shape[2] == tokens[0]:  # where tokens were chosen, they lie in no rows and columns
                layers.append(_layer(number, weights.mean(1), calibrated=tokens[1] > 0))
        self.passes.append(layers)
        return dict(zip(self._names, found, strict=False))

    def close(self) -> None:
        """Nothing to give back."""


def _layer(number: int, weights: NDArray[np.float32], *, calibrated: bool) -> Layer:
    """weights [F, tokens, keys] with keys [own, r] or [own, r, c], as many tokens each."""
    frames, tokens, keys = weights.shape
    side = round(tokens**0.5)
    if side**2 != tokens or keys != tokens * (3 if calibrated else 2):
        raise InputError(f"keys are [own, r, c] of as many tokens each, got {weights.shape} in layer {number}")
    parts = [weights[..., k * tokens : (k + 1) * tokens] for k in range(keys // tokens)]
    own = parts[0].sum(-1).reshape(frames, side, side)
    spread = [part.reshape(frames, side, side, side, side) for part in parts[1:]]
    return Layer(number, own, spread[0], spread[1] if calibrated else None)


def near(side: int, place: NDArray[np.floating], radius: float) -> NDArray[np.bool_]:
    """[side, side]: the tokens whose centre lies within `radius` of `place` (x, y), or the one that holds it.

    Both in parts of the picture's side. Nothing where the place lies outside the picture.
    """
    centres = (np.arange(side) + 0.5) / side
    within = (centres[None] - place[0]) ** 2 + (centres[:, None] - place[1]) ** 2 <= radius**2
    if (place >= 0).all() and (place < 1).all():
        within[int(place[1] * side), int(place[0] * side)] = True
        return np.asarray(within)
    return np.zeros((side, side), bool)
