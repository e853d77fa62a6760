"""An AnimateAnyone-shaped system with random weights, whole or the part that one graph needs."""

from __future__ import annotations

from typing import Any

import torch

from bench.gpu.sizes import Sizes
from export.systems.animate_anyone import AnimateAnyone
from export.systems.loading import built_on_meta
from export.systems.random_checkpoint import TINY_CLIP, TINY_TAESD, TINY_UNET, TINY_VAE, randomise
from export.systems.vae import build_tiny_vae, build_vae
from export.systems.widths import CLIP_VIT_L_14, SD15, VaeWidths
from export.to_onnx import Graph
from export.to_onnx_roles import system_graphs

ROLES = ("denoise", "reference", "tokens", "pose", "encode", "decode")
NETWORKS = {
    "denoise": "denoising_unet", "reference": "reference_unet", "tokens": "image_encoder", "pose": "pose_guider",
    "encode": "vae", "decode": "vae",
}  # fmt: skip
VAES = ("tiny", "kl")
SEED = 0


def shaped(sizes: Sizes, vae: str) -> AnimateAnyone:
    """The system on the meta device: shapes without memory."""

    def build() -> AnimateAnyone:
        made = AnimateAnyone(TINY_UNET if sizes.tiny else SD15, clip=TINY_CLIP if sizes.tiny else CLIP_VIT_L_14)
        if vae == "kl":
            made.vae = build_vae(TINY_VAE if sizes.tiny else VaeWidths())
        else:
            made.vae = build_tiny_vae(*([TINY_TAESD] if sizes.tiny else []))
        return made

    return built_on_meta(build)


def with_weights(sizes: Sizes, vae: str, role: str, *, device: str) -> AnimateAnyone:
    """The system with random weights where the role needs them, the same in every process."""
    system = shaped(sizes, vae)
    network = NETWORKS[role]
    randomise(system.get_submodule(network), seed=SEED)
    system.get_submodule(network).to(device)
    return system.eval().requires_grad_(False)


def graphs_of(system: Any, sizes: Sizes) -> dict[str, Graph]:
    """Its graphs by role."""
    return {graph.role: graph for graph in system_graphs(system, width=sizes.pixels, height=sizes.pixels)}


def token_counts(sizes: Sizes) -> list[int]:
    """T of each feature of one picture."""
    from export.full_width import token_counts as counts

    return counts(shaped(sizes, "tiny").feature_names, sizes.pixels // 8)


def no_tf32() -> None:
    """float32 means float32, in convolutions as well."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
