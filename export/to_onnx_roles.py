"""Which graphs an animation system has, and what the runtime gives and gets by name: shapes told by its networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from export.systems.system import AnimationSystem
from export.to_onnx import Graph, Shape
from export.to_onnx_modules import Bank, Control, Decode, Denoise, Encode, Pose, Tokens
from tpc_stream.errors import InputError

PICTURE_CHANNELS = {"densepose": 3, "dwpose-body": 3, "openpose-18": 3, "densepose-uv": 10}
DOWNSCALE = 8


def system_graphs(system: AnimationSystem, *, width: int, height: int, blank: bool = False) -> list[Graph]:
    """The graphs of a system for pictures of width x height pixels.

    `blank`: whether a system whose unconditional tokens are zeros takes those of a picture of zeros instead.
    Errors: InputError where the system cannot have that size.
    """
    traits = system.traits
    if width % DOWNSCALE or height % DOWNSCALE:
        raise InputError(
            f"pictures of {traits.name} have sides of multiples of {DOWNSCALE} pixels, got {width}x{height}"
        )
    cells = getattr(system, "latent_cells", None)
    if cells is not None and (height // 16) * (width // 16) != cells:
        raise InputError(
            f"this checkpoint of {traits.name} is for {cells} cells of 16x16 pixels (512x640 has 1280), "
            f"got {width}x{height}"
        )
    with torch.no_grad():
        text = system.text_tokens() if hasattr(system, "text_tokens") else None
    picture, cell = (3, height, width), (4, height // DOWNSCALE, width // DOWNSCALE)
    channels = feature_channels(system)
    graphs = [
        Graph("encode", Encode(system), {"images": ("N", *picture)}, {"latents": ("N", *cell)}),
        Graph(
            "decode",
            Decode(system, stretched=cells is not None),
            {"latents": ("F", *cell)},
            {"images": ("F", *picture)},
        ),
    ]
    named: dict[str, Shape] = {"latents": ("F", *cell), "timesteps": ("F",)}
    if hasattr(system, "image_tokens"):
        graphs.append(_tokens(system, picture, blank=blank))
        if traits.kind == "bank":
            named["context"] = (1, *graphs[-1].outputs["context"][1:])
    if traits.kind == "bank":
        graphs.append(_bank(system, cell, channels, text, named.get("context")))
    graphs.append(_pose(system, picture, cell, text))
    named |= graphs[-1].outputs
    if traits.has_background:
        named["background_latents"] = (1, *cell)
    named |= {f"reference_{k:02d}": (1, f"R{k}", c) for k, c in enumerate(channels)}
    named |= {f"calibrated_{k:02d}": ("U", f"K{k}", c) for k, c in enumerate(channels)}
    named["calibrated_index"] = ("F",)
    graphs.append(Graph("denoise", Denoise(system, tuple(named), text), named, {"output": ("F", *cell)}))
    return graphs


def pixels_size(system: Any) -> int:
    """The side of the image encoder's pixels."""
    positions = _embeddings(system).position_embedding.num_embeddings
    return int(_patch(system) * round((positions - 1) ** 0.5))


def feature_channels(system: Any) -> list[int]:
    """C of each feature, in the order of `feature_names`."""
    unet = getattr(system, "denoising_unet", None) or system.unet
    if system.traits.kind == "bank":
        return [unet.get_submodule(name).norm1.normalized_shape[0] for name in system.feature_names]
    return [unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.in_features]


def bank_tokens(system: Any, rows: int, columns: int) -> list[int]:
    """How many tokens each feature of a bank has for latents of rows x columns cells, in the order of `feature_names`.

    A token is a cell of the level at which its block works: down block k is halved k times, the middle one as often as
    the last of them, and the up blocks go back.
    """
    unet = getattr(system, "denoising_unet", None) or system.unet
    deepest = len(unet.down_blocks) - 1
    counts: list[int] = []
    for name in system.feature_names:
        stage, _, rest = name.partition(".")
        place = int(rest.partition(".")[0]) if stage != "mid_block" else 0
        halvings = {"down_blocks": place, "mid_block": deepest, "up_blocks": deepest - place}[stage]
        h, w = rows, columns
        for _ in range(halvings):
            h, w = (h + 1) // 2, (w + 1) // 2
        counts.append(h * w)
    return counts


def _tokens(system: Any, picture: Shape, *, blank: bool) -> Graph:
    size, bank, adapts = pixels_size(system), system.traits.kind == "bank", hasattr(system, "adapter")
    unconditional = adapts or (blank and not bank)
    module = Tokens(system, size=size, picture=picture if adapts else None, unconditional=unconditional)
    inputs: dict[str, Shape] = {"pixels": ("N", 3, size, size)}
    if adapts:
        inputs["images"] = ("N", *picture)
    count = 1 if bank else 1 + (size // _patch(system)) ** 2
    width = system.image_encoder.visual_projection.out_features if bank else feature_channels(system)[0]
    outputs: dict[str, Shape] = {"context" if bank else "tokens_00": ("N", count, width)}
    if unconditional:
        outputs["unconditional_00"] = (1, count, width)
    return Graph("tokens", module, inputs, outputs)


def _patch(system: Any) -> int:
    return int(_embeddings(system).patch_embedding.kernel_size[0])


def _embeddings(system: Any) -> Any:
    return next(module for name, module in system.named_modules() if name.endswith("vision_model.embeddings"))


def _bank(system: Any, cell: Shape, channels: list[int], text: Tensor | None, context: Shape | None) -> Graph:
    other: dict[str, Shape] = {"timesteps": ("N",)} if context is None else {"context": context}
    counts = bank_tokens(system, int(cell[1]), int(cell[2]))
    outputs: dict[str, Shape] = {
        f"bank_{k:02d}": ("N", tokens, c) for k, (tokens, c) in enumerate(zip(counts, channels, strict=True))
    }
    return Graph("reference", Bank(system, text), {"latents": ("N", *cell), **other}, outputs)


def _pose(system: Any, picture: Shape, cell: Shape, text: Tensor | None) -> Graph:
    traits = system.traits
    pictures: dict[str, Shape] = {"pose_images": ("F", PICTURE_CHANNELS[traits.pose_drawing], *picture[1:])}
    if traits.has_control and not traits.has_background:
        inputs = {**pictures, "latents": ("F", *cell), "timesteps": ("F",)}
        outputs = {f"residual_{k:02d}": shape for k, shape in enumerate(_residual_shapes(system, cell))}
        return Graph("pose", Control(system, text), inputs, outputs)
    first = system.unet.conv_in if hasattr(system, "unet") else system.denoising_unet.conv_in
    width = 10 if traits.pose_drawing == "densepose-uv" else first.out_channels
    return Graph("pose", Pose(system), pictures, {"pose_features": ("F", width, *cell[1:])})


def _residual_shapes(system: Any, cell: Shape) -> list[Shape]:
    """Of the skip connections: three at each of four sizes, the halving convolutions' included; then the middle's."""
    rows, columns = int(cell[1]), int(cell[2])
    zeros = [*system.controlnet.controlnet_down_blocks, system.controlnet.controlnet_mid_block]
    shapes: list[Shape] = []
    for k, zero in enumerate(zeros):
        if k in (3, 6, 9):
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        shapes.append(("F", zero.out_channels, rows, columns))
    return shapes
