"""An animation system becomes a bundle: graphs and a manifest, written beside the place and put there when whole."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from export.systems.system import AnimationSystem
from export.to_onnx import KEPT_WHOLE, Graph, Precision, Shape, export_graph, parity, use_half_precision
from export.to_onnx_roles import DOWNSCALE, pixels_size, system_graphs
from tpc_stream.bundle import open_bundle
from tpc_stream.errors import InputError

DRAWINGS = {
    "densepose": "densepose", "dwpose-body": "dwpose", "openpose-18": "openpose18", "densepose-uv": "densepose_uv",
}  # fmt: skip
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_EXAMPLE = {"F": 3, "N": 2, "U": 2} | {f"{kind}{k}": 5 for kind in "RK" for k in range(16)}
ALLOWED = {"fp32": 1e-4, "fp16": 5e-2}
"""Of ONNX Runtime from torch in the same precision, as a share of the largest value."""
CHECKED_CELLS = 1024
"""Latent cells (256x256 pixels) up to which graphs are run after the export unless told otherwise: attention over more
takes gigabytes without a GPU."""
Say = Callable[[str], None]


def write_system_bundle(
    system: AnimationSystem,
    out: Path,
    *,
    name: str,
    width: int,
    height: int,
    precision: Precision = "fp32",
    keep: str = KEPT_WHOLE,
    origin: str,
    blank: bool = False,
    check: bool | None = None,
    overwrite: bool = False,
    say: Say = lambda line: None,
) -> dict[str, float]:
    """Writes the bundle folder `out`; returns each checked graph's difference from torch.

    The folder appears whole or not at all. Halving changes `system` in place.

    Args:
        name: in the manifest.
        width, height: pixels.
        keep: of half precision, see `use_half_precision`.
        origin: where the weights come from, in words.
        blank: see `system_graphs`.
        check: whether each graph is run and compared; None: where it fits a machine without a GPU.

    Errors: InputError for a size the system cannot have, for a folder that exists, or for a graph that differs.
    """
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists; give another --out, or --overwrite")
    system = system.float().eval().requires_grad_(False)
    if precision == "fp16":
        use_half_precision(system, keep=keep)
    graphs = system_graphs(system, width=width, height=height, blank=blank)
    cells = (width // DOWNSCALE) * (height // DOWNSCALE)
    check = cells <= CHECKED_CELLS if check is None else check
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    differences: dict[str, float] = {}
    try:
        text = manifest_head(system, name=name, width=width, height=height, origin=origin, blank=blank)
        for graph in graphs:
            files = export_graph(graph, folder, **_EXAMPLE)
            text += graph_table(graph, files)
            size = sum(file.stat().st_size for file in files) / 1e6
            if check:
                differences[graph.role] = parity(graph, files[0], _EXAMPLE | {"F": 2, "U": 3, "N": 1})
                if not differences[graph.role] <= ALLOWED[precision]:
                    raise InputError(
                        f"{graph.role}.onnx differs from torch by {differences[graph.role]:.1e} of the largest value, "
                        f"more than {ALLOWED[precision]:.0e}"
                    )
            told = f", differs from torch by {differences[graph.role]:.1e}" if check else ", not compared with torch"
            say(f"{graph.role}: {size:.1f} MB{told}")
        (folder / "manifest.toml").write_text(text, encoding="utf-8")
        open_bundle(folder)  # what the runtime would refuse is refused here
        folder.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
    return differences


def manifest_head(system: Any, *, name: str, width: int, height: int, origin: str, blank: bool = False) -> str:
    """Everything of a manifest but its graphs."""
    traits, sampling = system.traits, system.traits.sampling
    tables: dict[str, dict[str, Any]] = {
        "": {"format": 1, "name": name, "version": "1", "licence": traits.licence, "origin": origin},
        "frame": {"width": width, "height": height},
        "latent": {"channels": 4, "downscale": DOWNSCALE},
        "window": {
            "length": traits.window, "overlap": traits.overlap, "max_length": traits.max_window,
            "temporal": traits.temporal, "noise_period": traits.noise_period,
        },
        "sampling": {
            "scheduler": sampling.scheduler, "prediction": sampling.prediction, "steps": sampling.steps,
            "guidance_scale": sampling.guidance_scale, "beta_start": sampling.beta_start,
            "beta_end": sampling.beta_end, "beta_schedule": sampling.beta_schedule,
            "timestep_spacing": sampling.timestep_spacing, "steps_offset": sampling.steps_offset,
            "set_alpha_to_one": sampling.set_alpha_to_one,
            "rescale_zero_terminal_snr": sampling.rescale_zero_terminal_snr,
        },
        "conditioning": {"kind": traits.kind, "screened": False},
        "guidance": {"kind": "reference", "unconditional": "no_tokens"},
        "pose": {"drawing": DRAWINGS[traits.pose_drawing]},
    }  # fmt: skip
    if traits.kind == "tokens":
        tables["guidance"]["unconditional"] = "written" if blank else "zeros"
    if traits.has_background:
        tables["conditioning"]["background"] = "masked"
    adapts = hasattr(system, "adapter")
    if hasattr(system, "image_tokens"):
        # a bank's one embedding is of the whole picture, squeezed; tokens are of the masked person, or cut out
        tables["pixels"] = {
            "size": pixels_size(system), "mean": CLIP_MEAN, "std": CLIP_STD,
            "resize": "exact" if traits.kind == "bank" else "shortest_edge", "masked": traits.has_background,
        }  # fmt: skip
    if adapts:
        tables["sampling"]["start"] = "reference"
        tables["guidance"] = {
            "kind": "reference_and_pose", "unconditional": "written", "reference_scale": system.image_guidance_scale
        }  # fmt: skip
        tables["pose"] |= {"frames_before": 2, "frames_after": 2}
    return "\n".join(_table(title, values) for title, values in tables.items())


def graph_table(graph: Graph, files: list[Path]) -> str:
    """A graph's part of the manifest. `files`: the graph, and its weights where they are outside."""
    path, *data = files
    values: dict[str, Any] = {"file": path.name, "sha256": _sha256(path)}
    if data:
        values["data"] = [{"file": file.name, "sha256": _sha256(file)} for file in data]
    text = "\n" + _table(f"graphs.{graph.role}", values)
    for kind, shapes in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        text += _table(f"graphs.{graph.role}.{kind}", {n: _tensor(graph, n, s) for n, s in shapes.items()})
    return text


def _tensor(graph: Graph, name: str, shape: Shape) -> dict[str, Any]:
    return {"dtype": graph.dtype(name), "shape": shape}


def _table(title: str, values: Mapping[str, Any]) -> str:
    head = f"[{title}]\n" if title else ""
    return head + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: Any) -> str:
    """TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return repr(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
