"""One torch module becomes one ONNX file, its weights beside it where they are large, and is held against torch."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto
from onnx.external_data_helper import set_external_data
from torch import Tensor, nn

Shape = tuple[int | str, ...]
Precision = Literal["fp32", "fp16"]
OPSET = 17
OUTSIDE_FROM_BYTES = 256 * 1024 * 1024
"""Graphs with more weights than this keep them in a file of their own: a protobuf message ends at 2 GiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A module of one role, and the names and shapes of what goes in and comes out; a string is an axis that may
    change."""

    role: str
    module: nn.Module
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]

    def dtype(self, name: str) -> str:
        """The element type of an input or output; half precision stays inside the graph."""
        return "int64" if name == "calibrated_index" else "float32"

    def run(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The module's outputs, in order."""
        with torch.no_grad():
            outputs = self.module.eval()(*(inputs[name] for name in self.inputs))
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def example(self, *, seed: int = 0, **axes: int) -> dict[str, Tensor]:
        """Random inputs: pictures and timesteps in their range, the rest normal. `axes`: lengths of named axes."""
        generator = torch.Generator().manual_seed(seed)
        made: dict[str, Tensor] = {}
        for name, shape in self.inputs.items():
            lengths = [axes.get(axis, 2) if isinstance(axis, str) else axis for axis in shape]
            if name == "calibrated_index":
                made[name] = torch.randint(0, axes.get("U", 2), lengths, generator=generator)
            elif name == "timesteps":
                made[name] = torch.randint(0, 1000, lengths, generator=generator).float()
            elif name == "pose_images":
                made[name] = torch.rand(lengths, generator=generator)
            elif name == "images":
                made[name] = torch.rand(lengths, generator=generator) * 2 - 1
            else:
                made[name] = torch.randn(lengths, generator=generator)
        return made


KEPT_WHOLE = r"^vae\.(encoder|quant_conv)|^adapter|(^|\.)conv_in$|^[^.]+\.down_blocks\.0\."
"""Layers that stay float32 in half precision: what runs once a picture, and the first level of the UNets. What is
rounded there is carried, and amplified, by everything after it; measured in docs/systems.md."""


def use_half_precision(system: nn.Module, *, keep: str = KEPT_WHOLE) -> nn.Module:
    """Lets convolutions and linear layers compute in float16, in place; what lies between stays float32.

    Norms, softmax, and the sums along the residual path are where half precision loses most and costs least to avoid.

    Args:
        keep: a regular expression; layers in whose name it is found stay float32. "$^" is found in none.
    """
    for name, module in system.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and not re.search(keep, name):
            module.half()
            module.register_forward_pre_hook(_halved)
            module.register_forward_hook(_restored)
    return system


def _halved(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.half() for x in inputs)


def _restored(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.float()


def export_graph(graph: Graph, folder: Path, *, device: str = "cpu", **axes: int) -> list[Path]:
    """Writes `role.onnx`, and `role.onnx.data` where the weights are large; returns the files.

    Args:
        device: where the module is, and is traced.
        axes: lengths of named axes in the traced example; 1 is avoided, which tracing could take for a fixed size.
    """
    example = {name: tensor.to(device) for name, tensor in graph.example(**axes).items()}
    shapes = {**graph.inputs, **graph.outputs}
    free = {name: {k: a for k, a in enumerate(shape) if isinstance(a, str)} for name, shape in shapes.items()}
    path = folder / f"{graph.role}.onnx"
    with tempfile.TemporaryDirectory(dir=folder) as scratch, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about every shape that it reads, and about its own age
        raw = Path(scratch) / "raw.onnx"
        torch.onnx.export(
            graph.module.eval(), tuple(example.values()), str(raw), dynamo=False, opset_version=OPSET,
            input_names=list(graph.inputs), output_names=list(graph.outputs), dynamic_axes=free,
        )  # fmt: skip
        return _gathered(raw, path)


def _gathered(raw: Path, path: Path) -> list[Path]:
    """The exporter scatters large models over one file a tensor: these become one, without reading them all at once."""
    model = onnx.load(str(raw), load_external_data=False)
    tensors = list(model.graph.initializer)
    tensors += [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    scattered = [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]
    inside = sum(len(tensor.raw_data) for tensor in tensors)
    if not scattered and inside < OUTSIDE_FROM_BYTES:
        onnx.save(model, str(path))
        return [path]
    data = path.with_name(path.name + ".data")
    with data.open("wb") as file:
        for tensor in tensors:
            if tensor.data_location == TensorProto.EXTERNAL:
                entry = {item.key: item.value for item in tensor.external_data}
                with (raw.parent / entry["location"]).open("rb") as source:
                    source.seek(int(entry.get("offset", 0)))
                    content = source.read(int(entry["length"]) if "length" in entry else -1)
            elif len(tensor.raw_data) >= 1024:
                content = tensor.raw_data
            else:
                continue
            file.write(b"\0" * (-file.tell() % 4096))  # pages, so that a runtime can map the file
            tensor.raw_data = b""  # set_external_data wants raw data to be there, and leaves it
            offset = file.tell()
            file.write(content)
            set_external_data(tensor, location=data.name, offset=offset, length=len(content))
            tensor.ClearField("raw_data")
    onnx.save(model, str(path))
    return [path, data]


def parity(graph: Graph, path: Path, *cases: Mapping[str, int], seed: int = 1) -> float:
    """Largest difference of ONNX Runtime from torch over all outputs, as a share of each output's largest value.

    `cases`: lengths of the named axes, one run each.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for case in cases:
        example = graph.example(seed=seed, **case)
        found = session.run(list(graph.outputs), {name: array.numpy() for name, array in example.items()})
        for a, b in zip(graph.run(example), found, strict=True):
            if a.shape != b.shape:
                raise ValueError(f"{path} gives {b.shape} for {tuple(a.shape)}")
            if a.numel():
                difference = float(np.abs(a.numpy() - b).max() / np.abs(a.numpy()).max())
                worst = float(np.maximum(worst, difference))  # NaN stays NaN
    return worst
