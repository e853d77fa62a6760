"""Write the mannequin's bundle, graphs and manifest: `python -m export mannequin bundle`."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

from export.mannequin.autoencoder import load_autoencoder
from export.mannequin.enlarge import load_enlarging
from export.mannequin.graphs import Coder, GraphSpec, Shape, export_graph, graph_specs, parity, round_weights
from export.mannequin.render import SIZE
from export.mannequin.trainer import load_animator

ALLOWED_DIFFERENCE = 1e-4
"""Of ONNX Runtime from torch with the same rounded weights, as a share of the largest value."""
_CASES: tuple[dict[str, int], ...] = (
    {"N": 1, "F": 1, "U": 1},
    {"N": 3, "F": 8, "U": 3},
    {"F": 4, "U": 1, "no_calibrated": 1},
    {"F": 2, "U": 1, "no_calibrated": 1, "no_reference": 1},
)
_HEADER = """format = 1
name = "{name}"
version = "{version}"
licence = "Apache-2.0"
origin = "{origin}"

[frame]
width = {size}
height = {size}

[latent]
channels = {channels}
downscale = {downscale}

[window]
length = 8
overlap = {overlap}
max_length = 64
temporal = {temporal}      # the frames of a window{note} see each other
noise_period = 1      # all frames start from the same noise

[sampling]
scheduler = "flow"    # z = (1 - t) x + t noise, t in [0, 1]
prediction = "sample"
steps = 1
guidance_scale = 1.0

[conditioning]
kind = "bank"
screened = true       # pictures are mid grey outside the person before they are encoded
schedules = [{schedules}]
"""


def case_axes(case: dict[str, int], spec: GraphSpec) -> dict[str, int]:
    """The lengths of all named axes of a graph for one case of the parity check."""
    axes = {k: v for k, v in case.items() if not k.startswith("no_")}
    for name, shape in spec.inputs.items():
        if name[-2:].isdigit():  # a bank
            axes[str(shape[1])] = 0 if case.get("no_" + name.split("_")[0]) else 37
    return axes


def _table(kind: str, name: str, shapes: dict[str, Shape], spec: GraphSpec) -> str:
    lines = [f"\n[graphs.{name}.{kind}]"]
    for key, shape in shapes.items():
        axes = ", ".join(f'"{a}"' if isinstance(a, str) else str(a) for a in shape)
        lines.append(f'{key} = {{ dtype = "{spec.dtype(key)}", shape = [{axes}] }}')
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the manifest says beside the graphs."""

    name: str = "mannequin"
    version: str
    origin: str
    size: int
    """Pixels a side."""
    channels: int
    """Of latents."""
    downscale: int = 4
    temporal: bool = False
    """Whether the frames of a window see each other: windows then overlap by half, so that they agree where they meet,
    and the diagonal schedule, whose chunks see nothing of each other, is not offered."""

    def header(self) -> str:
        """The manifest up to the graphs."""
        return _HEADER.format(
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name != "temporal"},
            overlap=4 if self.temporal else 0,
            temporal="true " if self.temporal else "false",
            note="" if self.temporal else " do not",
            schedules='"window"' if self.temporal else '"window", "diagonal"',
        )


def write_bundle(folder: Path, specs: list[GraphSpec], about: About) -> float:
    """Export every graph, check it, write manifest.toml; returns the worst difference.

    Raises ValueError if a graph differs from its torch module by more than ALLOWED_DIFFERENCE.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text, worst = about.header(), 0.0
    for spec in specs:
        round_weights(spec.module)
        path = folder / f"{spec.name}.onnx"
        export_graph(spec, path)
        for case in _CASES:
            difference = parity(spec, path, **case_axes(case, spec))
            if difference > ALLOWED_DIFFERENCE:
                raise ValueError(
                    f"{path} differs from torch by {difference:.2e} for {case}; at most {ALLOWED_DIFFERENCE}"
                )
            worst = max(worst, difference)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text += f'\n[graphs.{spec.name}]\nfile = "{path.name}"\nsha256 = "{digest}"\n'
        text += _table("inputs", spec.name, spec.inputs, spec) + _table("outputs", spec.name, spec.outputs, spec)
    (folder / "manifest.toml").write_text(text)
    return worst


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin bundle", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder of the trained weights")
    parser.add_argument("--checkpoint", default="animator.pt", help="file in --data")
    parser.add_argument(
        "--decoder", help="file in --data that `polish --size 256` wrote: makes the bundle of 256 pixels"
    )
    parser.add_argument("--out", type=Path, help="folder (default: engines/mannequin, engines/mannequin-256)")
    parser.add_argument("--version", default="1")
    parser.add_argument("--origin", default="trained from nothing on rendered people, see MODEL_CARD.md")
    options = parser.parse_args(argv)
    animator = load_animator(options.data / options.checkpoint)
    coder: Coder = load_autoencoder(options.data, animator.widths, checkpoint=options.data / options.checkpoint)
    name, size = "mannequin", SIZE
    if options.decoder is not None:
        coder, name, size = load_enlarging(options.data / options.decoder, coder), f"mannequin-{2 * SIZE}", 2 * SIZE
    folder = options.out or Path("engines") / name
    about = About(
        name=name, version=options.version, origin=options.origin, size=size, downscale=coder.DOWNSCALE,
        channels=animator.widths.latent_channels, temporal=animator.widths.temporal,
    )  # fmt: skip
    worst = write_bundle(folder, graph_specs(coder, animator, size=size), about)
    weight = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    print(f"{folder}: {weight:.1f} MB, differs from torch by at most {worst:.1e} of the largest value")
    return 0
