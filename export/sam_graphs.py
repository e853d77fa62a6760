"""SAM's two graphs: what they take and give, their export, and how far ONNX Runtime is from torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.sam_networks import SamLayout
from tpc_stream.errors import CheckpointError

OPSET = 18
LARGEST_GRAPH = 1 << 30
"""Bytes of weights: an ONNX file ends at 2 GiB, so larger weights go beside it."""


class Encoder(nn.Module):
    """A picture, normalised and padded, to its embeddings: once a picture."""

    def __init__(self, sam: nn.Module) -> None:
        super().__init__()
        self.encoder = sam.image_encoder

    def forward(self, image: Tensor) -> Tensor:
        """[1, 3, size, size] -> [1, C, cells, cells]."""
        embeddings: Tensor = self.encoder(image)
        return embeddings


class Decoder(nn.Module):
    """Embeddings and points to all masks that SAM answers, and what it thinks of each."""

    def __init__(self, sam: nn.Module, layout: SamLayout) -> None:
        super().__init__()
        self.decoder = sam.mask_decoder
        prompts = sam.prompt_encoder
        self.positions = prompts.pe_layer
        self.size = layout.image_size
        # labels -1 (no point), 0 (background), 1 (the object), 2 and 3 (a box's corners), as rows of one table
        kinds = [prompts.not_a_point_embed.weight, *(kind.weight for kind in prompts.point_embeddings)]
        self.kinds = nn.Parameter(torch.cat(kinds), requires_grad=False)
        self.no_mask = prompts.no_mask_embed
        self.register_buffer("grid", prompts.get_dense_pe(), persistent=False)

    def forward(self, embeddings: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """[1, C, cells, cells], [1, P, 2], [1, P] -> logits [1, M, 4 cells, 4 cells], predicted IoU [1, M]."""
        place = self.positions._pe_encoding((points + 0.5) / self.size)
        known = (labels >= 0).to(place.dtype)[..., None]
        sparse = place * known + self.kinds[labels.to(torch.int64) + 1]
        dense = self.no_mask.weight.reshape(1, -1, 1, 1).expand_as(embeddings)
        masks, scores = self.decoder.predict_masks(
            image_embeddings=embeddings, image_pe=self.grid, sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )  # fmt: skip
        return masks, scores


def samples(layout: SamLayout, *, points: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A picture, embeddings, points and labels to export and to compare with."""
    draw = torch.Generator().manual_seed(seed)
    image = torch.randn((1, 3, layout.image_size, layout.image_size), generator=draw)
    embeddings = torch.randn((1, layout.prompt_dim, layout.cells, layout.cells), generator=draw)
    places = torch.rand((1, points, 2), generator=draw) * layout.image_size
    labels = torch.ones((1, points))
    labels[:, -1] = -1
    return image, embeddings, places, labels


def export_graphs(
    sam: nn.Module, layout: SamLayout, folder: Path, *, largest: int = LARGEST_GRAPH
) -> dict[str, list[Path]]:
    """Writes encode.onnx and decode.onnx to `folder`; role -> the graph, and the file of its weights where it has one.

    Weights of more than `largest` bytes go into a file of their own.
    """
    image, embeddings, places, labels = samples(layout, points=4, seed=0)
    _export(Encoder(sam), {"image": image}, folder / "encode.onnx", outputs=["embeddings"], free=[], largest=largest)
    _export(
        Decoder(sam, layout), {"embeddings": embeddings, "points": places, "labels": labels}, folder / "decode.onnx",
        outputs=["masks", "scores"], free=["points", "labels"], largest=largest,
    )  # fmt: skip
    files = {}
    for role in ("encode", "decode"):
        graph = folder / f"{role}.onnx"
        files[role] = [graph, *sorted(folder.glob(f"{role}.onnx.*"))]
    return files


def _export(
    module: nn.Module, inputs: dict[str, Tensor], path: Path, *, outputs: list[str], free: list[str], largest: int
) -> None:
    """One graph; `free` names the inputs whose axis 1, the number of points, stays free."""
    module.eval()
    values, names = tuple(inputs.values()), list(inputs)
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # of tracing and of the exporters themselves: what comes out is compared
        if _bytes_of(module) <= largest:
            axes = {name: {1: "points"} for name in free}
            torch.onnx.export(
                module, values, str(path), dynamo=False, opset_version=OPSET, input_names=names, output_names=outputs,
                dynamic_axes=axes,
            )  # fmt: skip
            return
        # the exporter that can put weights into one file of their own; for small networks it takes 15 times longer
        points = torch.export.Dim("points", min=2, max=64)
        shapes = tuple({1: points} if name in free else None for name in names)
        program = torch.onnx.export(
            module, values, dynamo=True, opset_version=OPSET, input_names=names, output_names=outputs,
            dynamic_shapes=shapes, verbose=False,
        )  # fmt: skip
        if program is None:
            raise CheckpointError(f"torch {torch.__version__} exported nothing to {path.name}; torch 2.6 or newer does")
        program.save(path, external_data=True)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _bytes_of(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def difference(sam: nn.Module, layout: SamLayout, folder: Path) -> float:
    """ONNX Runtime from torch on other inputs than the export saw: the largest, as a share of the largest value."""
    image, embeddings, places, labels = samples(layout, points=9, seed=1)
    worst = 0.0
    with torch.no_grad():
        encoded = Encoder(sam)(image)
        masks, scores = Decoder(sam, layout)(embeddings, places, labels)
    worst = max(worst, *_compare(folder / "encode.onnx", {"image": image}, [encoded]))
    asked = {"embeddings": embeddings, "points": places, "labels": labels}
    return max(worst, *_compare(folder / "decode.onnx", asked, [masks, scores]))


def _compare(path: Path, inputs: Mapping[str, Tensor], expected: list[Tensor]) -> list[float]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return [
        float(np.abs(one - other.numpy()).max() / max(1e-6, float(other.abs().max())))
        for one, other in zip(found, expected, strict=True)
    ]
