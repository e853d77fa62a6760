"""A bundle of hand-made graphs, small enough to check by hand: real attention over [own, r, c_i], no training.

The latents of a picture are its 4x4 means (RGB and matte), the features are those latents as tokens, the denoiser
attends from the frame's tokens to [own, reference, calibrated] and adds what the pose says.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, CELL, CHANNELS = 32, 4, 4
SIDE = SIZE // CELL
TOKENS = SIDE * SIDE
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Tensor = tuple[str, int, list[int | str]]

MANIFEST = """format = 1
name = "tiny"
version = "1"
licence = "Apache-2.0"
origin = "made by the tests"
[frame]
width = 32
height = 32
[latent]
channels = 4
downscale = 4
[window]
length = {window}
overlap = {overlap}
max_length = 64
temporal = {temporal}
noise_period = {noise_period}
[sampling]
scheduler = "{scheduler}"
prediction = "{prediction}"
steps = {steps}
guidance_scale = 1.0
[conditioning]
kind = "{kind}"
screened = {screened}
schedules = {schedules}
"""


def make_tiny_bundle(
    folder: Path,
    *,
    window: int = 8,
    overlap: int = 0,
    temporal: bool = False,
    noise_period: int = 0,
    scheduler: str = "flow",
    prediction: str = "sample",
    steps: int = 1,
    kind: str = "bank",
    screened: bool = False,
    mattes: bool = True,
    reference_timesteps: bool = False,
    schedules: tuple[str, ...] = ("window",),
    nan: bool = False,
) -> Path:
    """Writes a bundle to `folder` and returns it; nan makes the denoiser emit NaN."""
    folder.mkdir(parents=True, exist_ok=True)
    text = MANIFEST.format(
        window=window, overlap=overlap, temporal=str(temporal).lower(), noise_period=noise_period, scheduler=scheduler,
        prediction=prediction, steps=steps, kind=kind, screened=str(screened).lower(),
        schedules=list(schedules),
    )  # fmt: skip
    graphs = {
        "encode": _encode(),
        "pose": _pose(),
        "denoise": _denoise(temporal=temporal, nan=nan),
        "decode": _decode(mattes=mattes),
    }
    if kind == "bank":
        graphs["reference"] = _reference(timesteps=reference_timesteps)
    else:
        graphs["tokens"] = _tokens()
    for role, model in graphs.items():
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        (folder / f"{role}.onnx").write_bytes(data)
        text += f'[graphs.{role}]\nfile = "{role}.onnx"\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        for key, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
            text += f"[graphs.{role}.{key}]\n"
            for value in values:
                kind_name = {FLOAT: "float32", INT64: "int64"}[value.type.tensor_type.elem_type]
                shape = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
                text += f'{value.name} = {{ dtype = "{kind_name}", shape = {shape!r} }}\n'.replace("'", '"')
    (folder / "manifest.toml").write_text(text, encoding="utf-8")
    return folder


def _model(name: str, nodes: list[Any], inputs: list[Tensor], outputs: list[Tensor], **constants: Any) -> Any:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in outputs],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _picture(count: str, channels: int = 3) -> list[int | str]:
    return [count, channels, SIZE, SIZE]


def _latent(count: str) -> list[int | str]:
    return [count, CHANNELS, SIDE, SIDE]


def _encode() -> Any:
    nodes = [
        helper.make_node("Concat", ["images", "mattes"], ["rgba"], axis=1),
        helper.make_node("AveragePool", ["rgba"], ["latents"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
    ]
    inputs: list[Tensor] = [("images", FLOAT, _picture("N")), ("mattes", FLOAT, _picture("N", 1))]
    return _model("encode", nodes, inputs, [("latents", FLOAT, _latent("N"))])


def _to_tokens(source: str, target: str) -> list[Any]:
    return [
        helper.make_node("Reshape", [source, "rows"], [f"{target}_rows"]),
        helper.make_node("Transpose", [f"{target}_rows"], [target], perm=[0, 2, 1]),
    ]


ROWS = {"rows": np.array([0, CHANNELS, TOKENS], dtype=np.int64)}
BANK: Tensor = ("bank_00", FLOAT, ["N", TOKENS, CHANNELS])


def _reference(*, timesteps: bool) -> Any:
    inputs: list[Tensor] = [("latents", FLOAT, _latent("N"))]
    if not timesteps:
        return _model("reference", _to_tokens("latents", "bank_00"), inputs, [BANK], **ROWS)
    nodes = [
        *_to_tokens("latents", "plain"),
        helper.make_node("Reshape", ["timesteps", "lift"], ["level"]),
        helper.make_node("Mul", ["plain", "level"], ["bank_00"]),
    ]
    lift = np.array([-1, 1, 1], dtype=np.int64)
    return _model("reference", nodes, [*inputs, ("timesteps", FLOAT, ["N"])], [BANK], lift=lift, **ROWS)


def _tokens() -> Any:
    nodes = [
        helper.make_node("Concat", ["images", "mattes"], ["rgba"], axis=1),
        helper.make_node("AveragePool", ["rgba"], ["pooled"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        *_to_tokens("pooled", "bank_00"),
    ]
    inputs: list[Tensor] = [("images", FLOAT, _picture("N")), ("mattes", FLOAT, _picture("N", 1))]
    return _model("tokens", nodes, inputs, [BANK], **ROWS)


def _pose() -> Any:
    nodes = [
        helper.make_node("ReduceMean", ["keypoints"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["pose_features"]),
    ]
    return _model(
        "pose", nodes, [("keypoints", FLOAT, ["F", 17, 3])], [("pose_features", FLOAT, ["F", 3, 1])],
        last=np.array([2], dtype=np.int64),
    )  # fmt: skip


def _denoise(*, temporal: bool, nan: bool) -> Any:
    nodes = [
        *_to_tokens("latents", "own"),
        helper.make_node("Shape", ["calibrated_index"], ["frames"]),
        helper.make_node("Shape", ["reference_00"], ["reference_shape"]),
        helper.make_node("Slice", ["reference_shape", "one", "three"], ["reference_tail"]),
        helper.make_node("Concat", ["frames", "reference_tail"], ["reference_full"], axis=0),
        helper.make_node("Expand", ["reference_00", "reference_full"], ["reference"]),
        helper.make_node("Gather", ["calibrated_00", "calibrated_index"], ["calibrated"], axis=0),
        helper.make_node("Concat", ["own", "reference", "calibrated"], ["keys"], axis=1),
        helper.make_node("Transpose", ["keys"], ["keys_t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["own", "keys_t"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "keys"], ["attended"]),
        helper.make_node("ReduceMean", ["pose_features"], ["pose_mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Reshape", ["timesteps", "lift"], ["level"]),
        helper.make_node("Mul", ["level", "small"], ["level_small"]),
        helper.make_node("Add", ["attended", "pose_mean"], ["posed"]),
        helper.make_node("Add", ["posed", "level_small"], ["mixed"]),
    ]
    last = "mixed"
    if temporal:
        nodes += [
            helper.make_node("ReduceMean", ["mixed"], ["over_frames"], axes=[0], keepdims=1),
            helper.make_node("Add", ["mixed", "over_frames"], ["temporal"]),
        ]
        last = "temporal"
    if nan:
        nodes.append(helper.make_node("Div", [last, "zero"], ["broken"]))
        last = "broken"
    nodes += [
        helper.make_node("Transpose", [last], ["columns"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["columns", "square"], ["output"]),
    ]
    inputs: list[Tensor] = [
        ("latents", FLOAT, _latent("F")),
        ("timesteps", FLOAT, ["F"]),
        ("pose_features", FLOAT, ["F", 3, 1]),
        ("reference_00", FLOAT, [1, "R", CHANNELS]),
        ("calibrated_00", FLOAT, ["U", "K", CHANNELS]),
        ("calibrated_index", INT64, ["F"]),
    ]
    return _model(
        "denoise", nodes, inputs, [("output", FLOAT, _latent("F"))],
        one=np.array([1], dtype=np.int64), three=np.array([3], dtype=np.int64),
        lift=np.array([-1, 1, 1], dtype=np.int64), square=np.array([0, CHANNELS, SIDE, SIDE], dtype=np.int64),
        small=np.float32(0.01), zero=np.float32(0), **ROWS,
    )  # fmt: skip


def _decode(*, mattes: bool) -> Any:
    nodes = [
        helper.make_node("Resize", ["latents", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Slice", ["large", "zero", "three", "one"], ["images"]),
    ]
    outputs: list[Tensor] = [("images", FLOAT, _picture("F"))]
    constants: dict[str, Any] = {
        "scales": np.array([1, 1, CELL, CELL], dtype=np.float32),
        "zero": np.array([0], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "three": np.array([3], dtype=np.int64),
    }
    if mattes:
        nodes += [
            helper.make_node("Slice", ["large", "three", "four", "one"], ["alpha"]),
            helper.make_node("Clip", ["alpha", "low", "high"], ["mattes"]),
        ]
        outputs.append(("mattes", FLOAT, _picture("F", 1)))
        constants |= {"four": np.array([4], dtype=np.int64), "low": np.float32(0), "high": np.float32(1)}
    return _model("decode", nodes, [("latents", FLOAT, _latent("F"))], outputs, **constants)
