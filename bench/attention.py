"""`python -m bench attention`: where a patch of the frame looks in the reference (the paper's Fig. 2).

A patch is the token that holds one of the body's joints. On rendered people the same joint's place is known in the
reference r and, by the transform that calibration found, in the calibrated one c. Told is how much of a patch's
attention to r and c lies near those places, for aligned and turned references, without and with calibration, a step.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.quality.attended import AttendedDenoiser, Layer, near
from bench.quality.command import add_common
from bench.quality.figures import Figure
from bench.quality.plots import Looked, draw_attention, draw_curves, write_csv
from bench.quality.rendered import Placement, Workshop
from bench.quality.sets import Case, Sizes, TestClip, box
from tpc_stream.backends.onnxrt import OnnxRuntimeBackend
from tpc_stream.bundle import Bundle, open_bundle
from tpc_stream.calibrate import calibrate
from tpc_stream.denoise import DenoiseConfig, Denoiser
from tpc_stream.engine import Engine
from tpc_stream.frame import KEYPOINT_NAMES, CalibratedFrame
from tpc_stream.manifest import Role
from tpc_stream.options import AnimateOptions
from tpc_stream.part import WHOLE
from tpc_stream.plan import make_plan
from tpc_stream.relay import PartFrame
from tpc_stream.warp import Warper

JOINTS = tuple(range(5, 17))
"""Shoulders to ankles."""
NEAR = 1 / 8
"""How near is near: a part of the height of the person's box in that picture."""
DEGREES = 120.0
COLUMNS = ("near", "own", "r", "c", "person near")
Values = dict[tuple[str, str, int, int, str], list[float]]
"""By reference, TPC, layer, step and column, a value a person."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One run: every pass's layers, and what the frame was calibrated with."""

    passes: list[list[Layer]]
    frame: CalibratedFrame
    case: Case
    canvas: tuple[int, int]

    def places(self, joint: int) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
        """Of a joint, (x, y) in parts of the picture: in the frame, in r, in c."""
        assert self.frame.body is not None
        own = self.case.portrait.body.keypoints[joint]
        laid = self.frame.calibration.transform.matrix @ (*own, 1.0)
        return self.frame.body.keypoints[joint] / self.canvas, own / self.canvas, laid / self.canvas

    def known(self, joint: int) -> bool:
        """Whether the joint lies in all three pictures."""
        return all(((p > 0) & (p < 1)).all() for p in self.places(joint))


def references(*_: object) -> Sequence[Placement]:
    """One as the frames, one turned."""
    return Placement("aligned", kind="aligned"), Placement("turned", 1.0, DEGREES, "misaligned")


def open_engines(bundle: Bundle, *, threads: int) -> dict[Role, Engine]:
    """All graphs of a bundle; the denoiser's attention is watched."""
    backend, graphs = OnnxRuntimeBackend(threads=threads), bundle.manifest.graphs
    engines: dict[Role, Engine] = {role: backend.open(graph) for role, graph in graphs.items() if role != "denoise"}
    return engines | {"denoise": AttendedDenoiser(graphs["denoise"], threads=threads)}


def look(
    bundle: Bundle, engines: dict[Role, Engine], clip: TestClip, case: Case, *, tpc: bool, steps: int, seed: int
) -> Seen:
    """Run the clip's only frame through the bundle."""
    watched = engines["denoise"]
    assert isinstance(watched, AttendedDenoiser)
    watched.passes = []
    config = DenoiseConfig(steps=steps, guidance_scale=1.0, window=1, overlap=0, group_size=1, tpc=tpc, seed=seed)
    denoiser = Denoiser(
        bundle=bundle, engines=engines, portrait=case.portrait, config=config, span=lambda _: nullcontext()
    )
    frames = [PartFrame(WHOLE, item) for item in calibrate(clip.frames, case.portrait)]
    for _ in denoiser.denoise(denoiser.condition(frames)):
        pass
    height, width = case.portrait.mask.shape
    return Seen(watched.passes, frames[0].item, case, (width, height))


def shares(seen: Seen, layer: Layer, joint: int) -> dict[str, float]:
    """Of one joint's patch, each in [0, 1]; by COLUMNS."""
    side = layer.own.shape[1]
    at, in_reference, in_calibrated = seen.places(joint)
    row, column = int(at[1] * side), int(at[0] * side)
    height = seen.canvas[1]
    _, top, _, bottom = box(seen.case.portrait.mask)
    tall = (bottom - top) / height
    scale = seen.frame.calibration.transform.scale
    parts = [(layer.reference[0, row, column], near(side, in_reference, NEAR * tall))]
    if layer.calibrated is not None:
        parts.append((layer.calibrated[0, row, column], near(side, in_calibrated, NEAR * tall * scale)))
    away = sum(float(weights.sum()) for weights, _ in parts)
    body = seen.case.portrait.mask.reshape(side, height // side, side, -1).mean((1, 3)) > 127
    there = near(side, in_reference, NEAR * tall)
    return {
        "near": sum(float(weights[place].sum()) for weights, place in parts) / away,
        "own": float(layer.own[0, row, column]),
        "r": float(parts[0][0].sum()),
        "c": float(parts[1][0].sum()) if len(parts) > 1 else 0.0,
        "person near": float((there & body).sum() / max(body.sum(), 1)),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench attention", description=__doc__.partition("\n")[0])
    add_common(parser)
    parser.add_argument("--people", type=int, default=16, help="each under another seed, one frame each")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--shown", type=int, default=0, help="seed of the person in the picture")
    parser.add_argument("--joint", default="right_shoulder", choices=[KEYPOINT_NAMES[k] for k in JOINTS])
    parser.add_argument("--layer", type=int, default=0, help="of the picture and the curves; the CSV has all")
    parser.add_argument("--out", type=Path, default=Path("docs/quality"))
    choices = parser.parse_args(argv)
    bundle = open_bundle(choices.bundle)
    plan, console = make_plan(bundle, AnimateOptions(bundle=choices.bundle)), Console()
    engines = open_engines(bundle, threads=choices.threads or 1)
    workshop = Workshop(Sizes(plan.canvas, plan.output), clips=choices.clips)
    values: Values = defaultdict(list)
    pictures: dict[str, Seen] = {}
    seeds = range(choices.first_seed, choices.first_seed + choices.people)
    for seed in sorted({*seeds, choices.shown}):
        (clip,) = workshop.clips(seed=seed, count=1, frames=1, placements=references)
        runs = {
            (case.name, tpc): look(bundle, engines, clip, case, tpc=tpc, steps=choices.steps, seed=seed)
            for case in clip.cases
            for tpc in (False, True)
        }
        if seed == choices.shown:
            pictures = {f"{name}, {'TPC' if tpc else 'no TPC'}": seen for (name, tpc), seen in runs.items()}
        joints = [j for j in JOINTS if all(seen.known(j) for seen in runs.values())]
        if seed not in seeds or not joints:
            continue
        for (name, tpc), seen in runs.items():
            for step, layers in enumerate(seen.passes):
                for layer in layers:
                    found = [shares(seen, layer, joint) for joint in joints]
                    for column in COLUMNS:
                        mean = float(np.mean([f[column] for f in found]))
                        values[name, "TPC" if tpc else "no TPC", layer.number, step + 1, column].append(mean)
    write(choices.out, values, layer=choices.layer, console=console)
    joint = KEYPOINT_NAMES.index(choices.joint)
    rows = {name: shown(seen, joint, layer=choices.layer) for name, seen in pictures.items()}
    draw_attention(choices.out / "attention.png", rows)
    return 0


def write(out: Path, values: Values, *, layer: int, console: Console) -> None:
    """attention.csv of all layers, and of one: attention_near.png, a panel a reference."""
    rows, keys = [], sorted({key[:4] for key in values}, key=lambda k: (k[2], k[0], k[1], k[3]))
    for key in keys:
        figures = [Figure.of(values[*key, column]) for column in COLUMNS]
        rows.append([*key, *(v for f in figures for v in (f.mean, f.low, f.high))])
        if key[2] == layer:
            told = ", ".join(f"{c} {f}" for c, f in zip(COLUMNS, figures, strict=True))
            console.print(f"{key[0]}, {key[1]}, step {key[3]}: {told}", highlight=False, soft_wrap=True)
    header = ["reference", "TPC", "layer", "step", *(f"{c} {end}" for c in COLUMNS for end in ("mean", "low", "high"))]
    write_csv(out / "attention.csv", header, rows)
    steps = sorted({k[3] for k in keys})
    panels = {}
    for name in dict.fromkeys(k[0] for k in keys):
        curves = {
            label: [Figure.of(values[name, tpc, layer, step, column]) for step in steps]
            for label, tpc, column in (
                ("spread over the person", "TPC", "person near"), ("no TPC", "no TPC", "near"), ("TPC", "TPC", "near")
            )
        }  # fmt: skip
        panels[f"step, {name} reference"] = ([float(s) for s in steps], curves)
    draw_curves(out / "attention_near.png", panels, label="attention near the place")


def shown(seen: Seen, joint: int, *, layer: int) -> list[Looked]:
    """The frame with its patch, then r and c of every step with the layer's attention to them."""
    at, *others = ((float(p[0]), float(p[1])) for p in seen.places(joint))
    portrait, (width, height) = seen.case.portrait, seen.canvas
    laid, _ = Warper.of_person(portrait.image, portrait.mask).warp_person(
        seen.frame.calibration.transform, width=width, height=height
    )
    out: list[Looked] = [(seen.frame.frame.image, np.zeros((1, 1), np.float32), at)]
    for layers in seen.passes:
        (own,) = (item for item in layers if item.number == layer)
        side = own.own.shape[1]
        row, column = int(at[1] * side), int(at[0] * side)
        for picture, weights, place in zip(
            (portrait.image, laid), (own.reference, own.calibrated), others, strict=True
        ):
            out.append((picture, None if weights is None else weights[0, row, column], place))
    return out
