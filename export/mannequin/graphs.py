"""The five graphs of the mannequin's bundle as torch modules, and their way to ONNX with half-precision weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.mannequin.animator import Animator, UNet
from export.mannequin.enlarge import EnlargingAutoencoder
from export.mannequin.networks import Autoencoder

Coder = Autoencoder | EnlargingAutoencoder

LEVELS = UNet.ATTENTIONS


class Encode(nn.Module):
    """images [N, 3, H, W] in [-1, 1], mid grey outside mattes [N, 1, H, W] -> latents [N, C, h, w]."""

    def __init__(self, autoencoder: Coder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, images: Tensor, mattes: Tensor) -> Tensor:
        return self.autoencoder.encode(images, mattes)


class Reference(nn.Module):
    """latents [N, C, h, w], mattes [N, 1, H, W] -> five token tensors [N, tokens, channels]."""

    def __init__(self, animator: Animator) -> None:
        super().__init__()
        self.animator = animator

    def forward(self, latents: Tensor, mattes: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.animator.banks(latents, mattes))


class Pose(nn.Module):
    """keypoints [F, 17, 3] -> pose features [F, guider, h, w]."""

    def __init__(self, animator: Animator, size: int) -> None:
        super().__init__()
        self.animator, self.size = animator, size

    def forward(self, keypoints: Tensor) -> Tensor:
        return self.animator.pose(keypoints, self.size)


class Denoise(nn.Module):
    """One step: the clean latents behind noisy ones, given pose features and both banks."""

    def __init__(self, animator: Animator) -> None:
        super().__init__()
        self.animator = animator

    def forward(self, latents: Tensor, timesteps: Tensor, pose_features: Tensor, *rest: Tensor) -> Tensor:
        reference, calibrated, index = rest[:LEVELS], rest[LEVELS : 2 * LEVELS], rest[2 * LEVELS]
        return self.animator(latents, timesteps, pose_features, [(list(reference), None), (list(calibrated), index)])


class Decode(nn.Module):
    """latents [F, C, h, w] -> images [F, 3, H, W] in [-1, 1], mattes [F, 1, H, W] in [0, 1]."""

    def __init__(self, autoencoder: Coder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        return self.autoencoder.decode(latents)


Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph with the names and shapes of its inputs and outputs; a string is an axis that may change."""

    name: str
    module: nn.Module
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]

    def dtype(self, name: str) -> str:
        """The element type of an input or output."""
        return "int64" if name == "calibrated_index" else "float32"

    def example(self, seed: int = 0, **axes: int) -> dict[str, Tensor]:
        """Random inputs; axes gives the length of named axes (default 2)."""
        generator, out = torch.Generator().manual_seed(seed), {}
        for name, shape in self.inputs.items():
            lengths = [axes.get(a, 2) if isinstance(a, str) else a for a in shape]
            if self.dtype(name) == "int64":
                out[name] = torch.randint(0, axes.get("U", 2), lengths, generator=generator)
            elif name in ("mattes", "timesteps", "keypoints"):
                out[name] = torch.rand(lengths, generator=generator)
            else:
                out[name] = torch.randn(lengths, generator=generator)
        return out


def graph_specs(autoencoder: Coder, animator: Animator, *, size: int) -> list[GraphSpec]:
    """The bundle's five graphs for pictures of size x size pixels."""
    w, small = animator.widths, size // autoencoder.DOWNSCALE
    tokens = [(small // 2) ** 2, (small // 4) ** 2, (small // 4) ** 2, (small // 2) ** 2, min(w.fine_tokens, small**2)]
    channels = [w.levels[1], w.levels[2], w.levels[2], w.levels[1], w.levels[0]]
    z = w.latent_channels
    latents, images, mattes = (z, small, small), (3, size, size), (1, size, size)
    pose: Shape = ("F", w.guider, small, small)
    reference = {f"reference_{k:02}": (1, f"R{k}", c) for k, c in enumerate(channels)}
    calibrated = {f"calibrated_{k:02}": ("U", f"C{k}", c) for k, c in enumerate(channels)}
    banks = {f"bank_{k:02}": ("N", t, c) for k, (t, c) in enumerate(zip(tokens, channels, strict=True))}
    return [
        GraphSpec(
            "encode", Encode(autoencoder), {"images": ("N", *images), "mattes": ("N", *mattes)},
            {"latents": ("N", *latents)},
        ),
        GraphSpec("reference", Reference(animator), {"latents": ("N", *latents), "mattes": ("N", *mattes)}, banks),
        GraphSpec("pose", Pose(animator, small), {"keypoints": ("F", 17, 3)}, {"pose_features": pose}),
        GraphSpec(
            "denoise", Denoise(animator),
            {
                "latents": ("F", *latents), "timesteps": ("F",), "pose_features": pose, **reference, **calibrated,
                "calibrated_index": ("F",),
            },
            {"output": ("F", *latents)},
        ),
        GraphSpec(
            "decode", Decode(autoencoder), {"latents": ("F", *latents)},
            {"images": ("F", *images), "mattes": ("F", *mattes)},
        ),
    ]  # fmt: skip


def round_weights(module: nn.Module) -> None:
    """Round all floating parameters and buffers to half precision, in place: what the bundle stores."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())


def export_graph(spec: GraphSpec, path: Path) -> None:
    """Write one ONNX file; weights are float16 with a Cast to float32, which ONNX Runtime folds when it loads."""
    example = spec.example(**{f"{side}{k}": 5 for side in "RC" for k in range(LEVELS)})
    axes = {
        name: {i: a for i, a in enumerate(shape) if isinstance(a, str)}
        for name, shape in {**spec.inputs, **spec.outputs}.items()
    }
    raw = path.with_suffix(".tmp")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about every shape that it reads, and about its own age
        torch.onnx.export(
            spec.module.eval(), tuple(example.values()), str(raw), dynamo=False, opset_version=17,
            input_names=list(spec.inputs), output_names=list(spec.outputs), dynamic_axes=axes,
        )  # fmt: skip
    model = onnx.load(str(raw))
    raw.unlink()
    onnx.save(_halve_weights(model), str(path))


def _halve_weights(model: onnx.ModelProto, *, at_least: int = 64) -> onnx.ModelProto:
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < at_least:
            continue
        name, half = tensor.name, values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue  # a folded constant, not a rounded weight: keep it whole
        tensor.CopyFrom(numpy_helper.from_array(half, name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], name=name + "_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def parity(spec: GraphSpec, path: Path, **axes: int) -> float:
    """Largest difference of ONNX Runtime from torch over all outputs, as a share of the largest torch value."""
    import onnxruntime

    example = spec.example(seed=1, **axes)
    with torch.no_grad():
        wanted = spec.module.eval()(*example.values())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(list(spec.outputs), {k: v.numpy() for k, v in example.items()})
    worst = 0.0
    for a, b in zip(wanted if isinstance(wanted, tuple) else (wanted,), found, strict=True):
        worst = max(worst, float(np.abs(a.numpy() - b).max() / np.abs(a.numpy()).max()))
    return worst
