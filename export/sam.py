"""`python -m export sam --checkpoint PATH --out engines/sam`: SAM to two ONNX graphs; the runtime needs no torch then.

The checkpoint is one of sam_vit_b, sam_vit_l and sam_vit_h, which their makers (Meta AI, Apache-2.0) publish; none
comes with this package. Which of them it is, is read off its tensors.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

from export.sam_graphs import difference, export_graphs
from export.sam_networks import PIXEL_MEAN, PIXEL_STD, SamLayout, load_sam
from tpc_stream.errors import CheckpointError, SinkError, TpcStreamError

ALLOWED_DIFFERENCE = 1e-4
"""Of ONNX Runtime from torch, as a share of the largest value."""


def export_sam(checkpoint: Path, out: Path, *, overwrite: bool = False) -> float:
    """Writes encode.onnx, decode.onnx and manifest.toml to the folder `out`; returns the largest difference from torch.

    All is made in a folder beside it and put there in one step; where something fails, what was there stays.

    Errors: CheckpointError for another or a broken checkpoint, or graphs that differ from torch by more than
    `ALLOWED_DIFFERENCE`; SinkError where `out` cannot be written.
    """
    _check_out(out, overwrite=overwrite)
    sam, layout = load_sam(checkpoint)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            folder = Path(temporary) / "new"
            folder.mkdir()
            files = export_graphs(sam, layout, folder)
            worst = difference(sam, layout, folder)
            if not worst <= ALLOWED_DIFFERENCE:
                raise CheckpointError(
                    f"the graphs of {checkpoint} differ from torch by {worst:.1e} of the largest value, at most "
                    f"{ALLOWED_DIFFERENCE} is allowed; nothing was written"
                )
            text = manifest_text(layout, files, origin=f"{checkpoint.name}, sha256 {_sha256(checkpoint)}")
            (folder / "manifest.toml").write_text(text, encoding="utf-8")
            _put(folder, out, aside=Path(temporary) / "old")
    except OSError as error:
        raise SinkError(f"cannot write {out}: {error.strerror or error}; give another --out") from error
    return worst


def manifest_text(layout: SamLayout, files: dict[str, list[Path]], *, origin: str) -> str:
    """The manifest that `tpc_stream.people.sam_bundle` reads."""
    lines = [
        'kind = "sam"', "format = 1", f'variant = "{layout.name}"', 'licence = "Apache-2.0"',
        f"origin = {_quoted(origin)}", f"masks = {layout.masks}",
        "", "[image]", f"size = {layout.image_size}", f"mean = {list(PIXEL_MEAN)}", f"std = {list(PIXEL_STD)}",
        "", "[embeddings]", f"channels = {layout.prompt_dim}", f"cells = {layout.cells}",
    ]  # fmt: skip
    for role, (graph, *data) in files.items():
        lines += ["", f"[graphs.{role}]", f'file = "{graph.name}"', f'sha256 = "{_sha256(graph)}"']
        for path in data:
            lines += ["", f"[[graphs.{role}.data]]", f'file = "{path.name}"', f'sha256 = "{_sha256(path)}"']
    return "\n".join(lines) + "\n"


def _check_out(out: Path, *, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise SinkError(f"{out} is a file; give a folder as --out")
    if any(out.iterdir()):
        if not overwrite:
            raise SinkError(f"{out} exists; give another --out, or replace it with --overwrite")
        if not (out / "manifest.toml").is_file():
            raise SinkError(f"{out} holds something else than graphs and is not replaced; give another --out")


def _put(folder: Path, out: Path, *, aside: Path) -> None:
    """`folder` becomes `out`; what was there goes aside, and comes back where that fails."""
    if not out.exists():
        folder.rename(out)
        return
    out.rename(aside)
    try:
        folder.rename(out)
    except OSError:
        aside.rename(out)
        raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quoted(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text) + '"'


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line of what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m export sam", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="sam_vit_b, sam_vit_l or sam_vit_h, .pth")
    parser.add_argument("--out", type=Path, default=Path("engines/sam"), help="folder for the graphs")
    parser.add_argument("--overwrite", action="store_true", help="replace such a folder")
    options = parser.parse_args(argv)
    try:
        worst = export_sam(options.checkpoint, options.out, overwrite=options.overwrite)
    except TpcStreamError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    size = sum(file.stat().st_size for file in options.out.iterdir()) / 1e6
    print(f"{options.out}: {size:.1f} MB, differs from torch by at most {worst:.1e} of the largest value")
    return 0
