"""The graphs of an animation system: one module a role, with what the runtime gives and gets by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.systems.system import AnimationSystem
from export.to_onnx import Graph, Shape
from tpc_stream.errors import InputError

RESIDUALS = 13
"""What a ControlNet writes: 12 for the skip connections, one for the middle."""
PICTURE_CHANNELS = {"densepose": 3, "dwpose-body": 3, "openpose-18": 3, "densepose-uv": 10}
DOWNSCALE = 8


class Encode(nn.Module):
    """images [N, 3, H, W] in [-1, 1] -> latents [N, 4, h, w]."""

    def __init__(self, system: AnimationSystem) -> None:
        super().__init__()
        self.encoder = system.vae_encoder

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(images)


class Decode(nn.Module):
    """latents [F, 4, h, w] -> images [F, 3, H, W] in [-1, 1]."""

    def __init__(self, system: AnimationSystem, *, stretched: bool) -> None:
        """`stretched`: each frame's darkest and brightest value become -1 and 1, as the authors do."""
        super().__init__()
        self.decoder, self.stretched = system.vae_decoder, stretched

    def forward(self, latents: Tensor) -> Tensor:
        images = self.decoder(latents)
        if not self.stretched:
            return images
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        return (images - low) / (high - low) * 2 - 1


class Tokens(nn.Module):
    """pixels [N, 3, S, S] (and images [N, 3, H, W], where an adapter sees those too) -> [N, T, C].

    With `unconditional`, also a constant [1, T, C]: the tokens of pictures of zeros.
    """

    def __init__(self, system: AnimationSystem, *, size: int, picture: Shape | None, unconditional: bool) -> None:
        super().__init__()
        self.system: Any = system
        self.adapts = picture is not None
        if unconditional:
            blank = [torch.zeros(1, 3, size, size)]
            if picture is not None:
                # the adapter's VAE is given 0 to 255: nothing at all is black
                blank.append(torch.full((1, *picture), -1.0))  # type: ignore[arg-type]
            with torch.no_grad():
                self.register_buffer("unconditional", self._tokens(*blank))
        else:
            self.unconditional = None

    def _tokens(self, pixels: Tensor, images: Tensor | None = None) -> Tensor:
        if images is None:
            return self.system.image_tokens(pixels)
        latents = self.system.vae_encoder((images + 1) * 127.5)  # 0 to 255: what the adapter was trained on
        return self.system.image_tokens(pixels, latents)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        tokens = self._tokens(*inputs)
        if self.unconditional is None:
            return (tokens,)
        # an output that is nothing but a constant would lose its name
        return tokens, self.unconditional + torch.zeros_like(tokens[:1])


class Bank(nn.Module):
    """latents [N, 4, h, w], then timesteps [N] or context [1, T, C] -> the features of N pictures."""

    def __init__(self, system: AnimationSystem, text: Tensor | None) -> None:
        """`text`: the constant context of systems that have one; they also follow the timestep."""
        super().__init__()
        self.system: Any = system
        self.register_buffer("text", text)

    def forward(self, latents: Tensor, other: Tensor) -> tuple[Tensor, ...]:
        if self.text is None:
            return tuple(self.system.write_bank(latents, torch.zeros(1), other))
        return tuple(self.system.write_bank(latents, other, self.text))


class Pose(nn.Module):
    """pose_images [F, C, H, W] in [0, 1] -> pose features [F, C, h, w]."""

    def __init__(self, system: AnimationSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, pose_images: Tensor) -> Tensor:
        return self.system.pose_features(pose_images)


class Control(nn.Module):
    """pose_images [F, 3, H, W], latents [F, 4, h, w], timesteps [F] -> the ControlNet's 13 residuals."""

    def __init__(self, system: AnimationSystem, text: Tensor) -> None:
        super().__init__()
        self.system: Any = system
        self.register_buffer("text", text)

    def forward(self, pose_images: Tensor, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        pose = self.system.pose_features(pose_images)
        return tuple(self.system.control(latents, timesteps, self.text, pose))


class Denoise(nn.Module):
    """One pass: inputs by name in the order of the graph."""

    def __init__(self, system: AnimationSystem, names: tuple[str, ...], text: Tensor | None) -> None:
        super().__init__()
        self.system: Any = system
        self.names = names
        self.register_buffer("text", text)

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.names, inputs, strict=True))
        latents, timesteps = given["latents"], given["timesteps"]

        def numbered(kind: str) -> tuple[Tensor, ...]:
            return tuple(tensor for name, tensor in given.items() if name.startswith(kind + "_"))

        reference, residuals, pose = numbered("reference"), numbered("residual"), given.get("pose_features")
        calibrated = tuple(given[f"calibrated_{k:02d}"] for k in range(len(reference)))
        if "background_latents" in given:
            # both ControlNets look at the reference's tokens, in each half of guidance at its own
            background = self.system.background_features(given["background_latents"])
            residuals = self.system.control(latents, timesteps, reference[0], pose, background)
            pose = None
        return self.system.denoise(
            latents, timesteps, context=given.get("context", self.text), pose=pose, residuals=residuals,
            reference=reference, calibrated=calibrated, calibrated_index=given["calibrated_index"],
        )  # fmt: skip


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
    outputs = {f"bank_{k:02d}": ("N", f"T{k}", c) for k, c in enumerate(channels)}
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
