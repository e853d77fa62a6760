"""SAM as its checkpoint has it: every width, depth and size is read off the tensors, so B, L, H and others all fit."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from export.systems.checkpoint import read_tensors
from tpc_stream.errors import CheckpointError

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""RGB, of [0, 255]: SAM's, which its checkpoint does not hold."""
PIXEL_STD = (58.395, 57.12, 57.375)
"""RGB, of [0, 255]."""
DECODER_HEADS = 8
"""No tensor's shape tells it; it is 8 in all of SAM's."""
KNOWN = {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}
"""(width, depth) of the encoder -> SAM's name for it."""
INSTALL = "install the export extra: pip install tpc-stream[export]"


@dataclass(frozen=True, slots=True)
class SamLayout:
    """What a checkpoint's shapes say."""

    image_size: int
    patch_size: int
    embed_dim: int
    depth: int
    heads: int
    window_size: int
    global_blocks: tuple[int, ...]
    """The encoder's blocks that see the whole picture; the others see windows."""
    prompt_dim: int
    mask_channels: int
    """Of the network that reads a mask prompt."""
    decoder_depth: int
    decoder_mlp_dim: int
    masks: int
    """How many masks are answered, the single one among them."""
    score_depth: int
    score_dim: int

    @property
    def name(self) -> str:
        """vit_b, vit_l, vit_h, or the widths."""
        return KNOWN.get((self.embed_dim, self.depth), f"vit_{self.embed_dim}x{self.depth}")

    @property
    def cells(self) -> int:
        """Of the embeddings, on each axis."""
        return self.image_size // self.patch_size


def read_layout(tensors: Mapping[str, Tensor], source: Path) -> SamLayout:
    """The layout of a SAM checkpoint. Errors: CheckpointError names the file and the key that is missing."""

    def shape(key: str) -> tuple[int, ...]:
        if key not in tensors:
            raise CheckpointError(
                f"{source} is no SAM checkpoint: it lacks {key}; give sam_vit_b, sam_vit_l or sam_vit_h"
            )
        return tuple(tensors[key].shape)

    def count(pattern: str) -> int:
        found = [int(match[1]) for key in tensors if (match := re.match(pattern, key))]
        return 1 + max(found, default=-1)

    try:
        _, _, patch, _ = shape("image_encoder.patch_embed.proj.weight")
        _, cells, _, embed_dim = shape("image_encoder.pos_embed")
        depth = count(r"image_encoder\.blocks\.(\d+)\.")
        relative = [shape(f"image_encoder.blocks.{k}.attn.rel_pos_h") for k in range(depth)]
        whole = tuple(k for k, (reach, _) in enumerate(relative) if reach == 2 * cells - 1)
        windows = {(reach + 1) // 2 for reach, _ in relative} - {cells}
        prompt_dim, _, _, _ = shape("image_encoder.neck.0.weight")
        masks, _ = shape("mask_decoder.mask_tokens.weight")
        mask_channels, _, _, _ = shape("prompt_encoder.mask_downscaling.3.weight")
        decoder_mlp_dim, _ = shape("mask_decoder.transformer.layers.0.mlp.lin1.weight")
        score_dim, _ = shape("mask_decoder.iou_prediction_head.layers.0.weight")
        if len(windows) > 1 or not depth or prompt_dim % (2 * DECODER_HEADS):
            raise ValueError(f"window sizes {sorted(windows)}, {depth} blocks, {prompt_dim} channels")
        return SamLayout(
            image_size=cells * patch, patch_size=patch, embed_dim=embed_dim, depth=depth,
            heads=embed_dim // relative[0][1], window_size=max(windows, default=0), global_blocks=whole,
            prompt_dim=prompt_dim, mask_channels=mask_channels,
            decoder_depth=count(r"mask_decoder\.transformer\.layers\.(\d+)\."), decoder_mlp_dim=decoder_mlp_dim,
            masks=masks, score_depth=count(r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."), score_dim=score_dim,
        )  # fmt: skip
    except ValueError as error:
        raise CheckpointError(f"{source} is no SAM checkpoint that is known: {error}") from error


def build_sam(layout: SamLayout) -> nn.Module:
    """SAM from the segment-anything package, with weights that are still random."""
    with _sam_modeling() as modeling:
        return _assembled(modeling, layout)


def load_sam(path: Path) -> tuple[nn.Module, SamLayout]:
    """SAM with the weights of the checkpoint at `path`, in evaluation mode. Errors: CheckpointError names the file."""
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; give the file of sam_vit_b, sam_vit_l or sam_vit_h")
    tensors = read_tensors(path)
    layout = read_layout(tensors, path)
    sam = build_sam(layout)
    own = sam.state_dict()
    missing, unknown = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    other = [key for key in own if key in tensors and own[key].shape != tensors[key].shape]
    for what, keys in (("lacks", missing), ("has besides", unknown), ("has in another shape", other)):
        if keys:
            raise CheckpointError(f"{path} is no SAM checkpoint that is known: it {what} {', '.join(keys[:4])}")
    bad = [key for key, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise CheckpointError(f"{path} holds NaN or infinity in {', '.join(bad[:4])}; fetch it again")
    sam.load_state_dict({key: value.float() for key, value in tensors.items()})
    return sam.eval(), layout


def _assembled(modeling: ModuleType, layout: SamLayout) -> nn.Module:
    encoder = modeling.ImageEncoderViT(
        img_size=layout.image_size, patch_size=layout.patch_size, embed_dim=layout.embed_dim, depth=layout.depth,
        num_heads=layout.heads, out_chans=layout.prompt_dim, norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True, window_size=layout.window_size, global_attn_indexes=layout.global_blocks,
    )  # fmt: skip
    prompts = modeling.PromptEncoder(
        embed_dim=layout.prompt_dim, image_embedding_size=(layout.cells, layout.cells),
        input_image_size=(layout.image_size, layout.image_size), mask_in_chans=layout.mask_channels,
    )  # fmt: skip
    transformer = modeling.TwoWayTransformer(
        depth=layout.decoder_depth, embedding_dim=layout.prompt_dim, num_heads=DECODER_HEADS,
        mlp_dim=layout.decoder_mlp_dim,
    )  # fmt: skip
    decoder = modeling.MaskDecoder(
        transformer_dim=layout.prompt_dim, transformer=transformer, num_multimask_outputs=layout.masks - 1,
        iou_head_depth=layout.score_depth, iou_head_hidden_dim=layout.score_dim,
    )  # fmt: skip
    sam: nn.Module = modeling.Sam(encoder, prompts, decoder, pixel_mean=list(PIXEL_MEAN), pixel_std=list(PIXEL_STD))
    return sam


@contextmanager
def _sam_modeling() -> Iterator[ModuleType]:
    """segment_anything.modeling alone: the package itself imports torchvision, which the networks do not need."""
    name = "segment_anything"
    stand_in = name not in sys.modules
    if stand_in:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise CheckpointError(f"the package segment-anything is missing, which holds SAM's networks; {INSTALL}")
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = package
    try:
        yield importlib.import_module(f"{name}.modeling")
    finally:
        if stand_in:
            del sys.modules[name]  # who imports the package later gets the whole one
