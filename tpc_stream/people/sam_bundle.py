"""A folder with SAM's two graphs, as `python -m export sam` writes it: found, read and checked."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tpc_stream.errors import BundleError
from tpc_stream.manifest import GraphSpec, Role, TensorSpec
from tpc_stream.toml_table import Table

FORMAT = 1
REMAKE = "make it with `python -m export sam --checkpoint PATH --out FOLDER`"


@dataclass(frozen=True, slots=True)
class SamBundle:
    """What the runtime must know of a SAM."""

    folder: Path
    variant: str
    """"vit_b", "vit_l", "vit_h", or another name for other widths."""
    image_size: int
    """Pixels: the picture's longer side becomes this, and the shorter one is padded to it."""
    mean: tuple[float, float, float]
    """RGB, of [0, 255]: what is subtracted before the encoder."""
    std: tuple[float, float, float]
    """RGB, of [0, 255]: what is divided by after that."""
    encode: GraphSpec
    """`image` [1, 3, size, size] -> `embeddings` [1, C, cells, cells]."""
    decode: GraphSpec
    """`embeddings`, `points` [1, P, 2] in pixels of the resized picture, `labels` [1, P] -> `masks` logits [1, M, 4
    cells, 4 cells], `scores` [1, M]: the predicted IoU of each."""


def open_sam_bundle(folder: str | Path) -> SamBundle:
    """Reads and checks the folder. Raises BundleError, which names the file and what is wrong with it."""
    folder = Path(folder)
    source = folder / "manifest.toml"
    try:
        data = tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder} is no folder with SAM's graphs: it has no manifest.toml; {REMAKE}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{source} is not valid TOML: {error}; {REMAKE}") from error
    except OSError as error:
        raise BundleError(f"{source} cannot be read: {error.strerror}; {REMAKE}") from error
    top = Table(data, "top level", source)
    if data.get("kind") != "sam":
        raise BundleError(f"{source} is not that of a SAM: its kind is {data.get('kind')!r}, not 'sam'; {REMAKE}")
    top.take("kind", str)
    version = top.take("format", int)
    if version != FORMAT:
        raise BundleError(f"{source} has format {version}; this tpc-stream reads format {FORMAT}")
    variant = top.take("variant", str)
    for key in ("licence", "origin"):
        top.take(key, str)
    image = Table(top.take("image", dict), "image", source)
    size, mean, std = image.positive("size"), _three(image, "mean"), _three(image, "std")
    embeddings = Table(top.take("embeddings", dict), "embeddings", source)
    channels, cells = embeddings.positive("channels"), embeddings.positive("cells")
    masks = top.positive("masks")
    graphs = Table(top.take("graphs", dict), "graphs", source)
    embedding = TensorSpec("embeddings", "float32", (1, channels, cells, cells))
    picture = TensorSpec("image", "float32", (1, 3, size, size))
    prompts = (TensorSpec("points", "float32", (1, "points", 2)), TensorSpec("labels", "float32", (1, "points")))
    answers = (
        TensorSpec("masks", "float32", (1, masks, 4 * cells, 4 * cells)),
        TensorSpec("scores", "float32", (1, masks)),
    )
    encode = _graph(graphs, "encode", (picture,), (embedding,), folder)
    decode = _graph(graphs, "decode", (embedding, *prompts), answers, folder)
    for table in (image, embeddings, graphs, top):
        table.done()
    if min(std) <= 0:
        raise BundleError(f"{source}: [image] std must be above 0, is {list(std)}")
    return SamBundle(folder, variant, size, mean, std, encode, decode)


def _graph(
    graphs: Table, role: Role, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], folder: Path
) -> GraphSpec:
    table = Table(graphs.take(role, dict), f"graphs.{role}", graphs.source)
    path, digest = table.file(folder), table.take("sha256", str)
    data = []
    for number, item in enumerate(table.take("data", list, [])):
        part = Table(item, f"graphs.{role}.data[{number}]", graphs.source)
        data.append((part.file(folder), part.take("sha256", str)))
        part.done()
    table.done()
    for file, expected in ((path, digest), *data):
        _check_hash(file, expected)
    return GraphSpec(role=role, path=path, sha256=digest, inputs=inputs, outputs=outputs, data=tuple(data))


def _check_hash(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; {REMAKE}") from error
    if found != expected:
        raise BundleError(
            f"{path} is not the file of its manifest: sha256 {found[:12]}..., expected {expected[:12]}...; {REMAKE}"
        )


def _three(table: Table, key: str) -> tuple[float, float, float]:
    values = table.take(key, list)
    if len(values) != 3 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise BundleError(f"{table.source}: [{table.where}] {key} must be three numbers, is {values!r}")
    return float(values[0]), float(values[1]), float(values[2])
