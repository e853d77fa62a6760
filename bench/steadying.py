"""What steadying changes in videos: jitter, scale and IoU, pure against steadied; and the curves as pictures.

Jitter is the mean second difference of the reference's shoulders and hips as the transforms lay them onto the canvas,
pixels; how much the scale varies is told as (max - min) / median and as max / min - 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tpc_stream.calibrate import CalibrationConfig, calibrate
from tpc_stream.fit import fit_frames
from tpc_stream.frame import CalibratedFrame, Portrait, PosedFrame
from tpc_stream.portrait import prepare_portrait
from tpc_stream.pose import PoseEstimator, estimate_poses
from tpc_stream.procrustes import SearchConfig, warm_up
from tpc_stream.source import read_frames, read_picture
from tpc_stream.steady import SteadyConfig

SHOULDERS_AND_HIPS = [5, 6, 11, 12]
MODES = {"pure": SteadyConfig(tolerance=0.0), "steadied": SteadyConfig()}


@dataclass(frozen=True)
class Result:
    """One reference on one video in one mode."""

    video: str
    reference: str
    mode: str
    jitter_pixels: float
    mean_iou: float
    scale_range: float
    """(max - min) / median."""
    scale_ratio: float
    """max / min - 1."""


def second_differences(frames: Sequence[CalibratedFrame], portrait: Portrait) -> NDArray[np.float64]:
    """[frames - 2]: mean over shoulders and hips, pixels."""
    points = portrait.body.keypoints[SHOULDERS_AND_HIPS]
    ways = [f.calibration.transform.matrix for f in frames]
    landed = np.array([points @ way[:, :2].T + way[:, 2] for way in ways])
    return np.asarray(np.linalg.norm(landed[2:] - 2 * landed[1:-1] + landed[:-2], axis=2).mean(axis=1))


def measure(video: str, reference: str, mode: str, portrait: Portrait, posed: list[PosedFrame]) -> tuple[Result, list]:
    """The figures of one run, and its frames."""
    config = CalibrationConfig(search=SearchConfig(steady=MODES[mode]))
    frames = list(calibrate(posed, portrait, config=config))
    scales = np.array([f.calibration.transform.scale for f in frames if f.calibration.status == "fresh"])
    result = Result(
        video, reference, mode, float(second_differences(frames, portrait).mean()),
        float(np.nanmean([f.calibration.iou for f in frames])),
        float((scales.max() - scales.min()) / np.median(scales)), float(scales.max() / scales.min() - 1),
    )  # fmt: skip
    return result, frames


def draw(path: Path, title: str, label: str, curves: dict[str, tuple[NDArray, NDArray]]) -> None:
    """Curves over seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 2.6), dpi=90)
    for (name, (seconds, values)), colour in zip(curves.items(), ("#d08030", "#2060a0"), strict=True):
        axes.plot(seconds, values, label=name, color=colour, linewidth=1.2)
    axes.set(title=title, xlabel="seconds", ylabel=label, ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench steadying", description=__doc__)
    parser.add_argument("--videos", type=Path, nargs="+", required=True)
    parser.add_argument("--references", type=Path, nargs="+", required=True)
    parser.add_argument("--size", type=int, nargs=2, default=[256, 256], help="canvas, pixels")
    parser.add_argument("--plots", type=Path, help="a folder for the curves of the first reference")
    parser.add_argument("--json", type=Path)
    choices = parser.parse_args(arguments)
    width, height = choices.size
    warm_up()
    results: list[Result] = []
    portraits: dict[str, Portrait] = {}
    with PoseEstimator() as estimator:
        for path in choices.references:
            image, alpha = read_picture(path)
            portraits[path.stem] = prepare_portrait(
                image, alpha=alpha, width=width, height=height, name=path.name, estimator=estimator
            )
    for video in choices.videos:
        posed = list(estimate_poses(fit_frames(read_frames(str(video)), width=width, height=height, mode="pad")))
        seconds = np.array([float(item.frame.pts_seconds) for item in posed])
        for number, (name, portrait) in enumerate(portraits.items()):
            runs = {mode: measure(video.stem, name, mode, portrait, posed) for mode in MODES}
            for result, _ in runs.values():
                results.append(result)
                print(
                    f"{result.video:10} {result.reference:18} {result.mode:9} jitter {result.jitter_pixels:6.2f} px, "
                    f"IoU {result.mean_iou:.4f}, scale varies by {result.scale_range:.3f} (max/min - 1: "
                    f"{result.scale_ratio:.3f})",
                    flush=True,
                )
            if choices.plots and number == 0:
                scales = {m: (seconds, np.array([f.calibration.transform.scale for f in run[1]]))
                          for m, run in runs.items()}  # fmt: skip
                shakes = {m: (seconds[1:-1], second_differences(run[1], portrait)) for m, run in runs.items()}
                draw(choices.plots / f"steadying_{video.stem}_scale.png", f"{video.stem}: scale", "scale", scales)
                title = f"{video.stem}: second difference of shoulders and hips"
                draw(choices.plots / f"steadying_{video.stem}_jitter.png", title, "pixels", shakes)
    if choices.json:
        choices.json.write_text(json.dumps([asdict(r) for r in results], indent=2) + "\n", encoding="utf-8")
    return 0
