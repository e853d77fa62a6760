"""What the subset search costs a frame, where the time goes, what brute force would cost, and what starting costs.

One thread searches, whatever the machine has: the other cores belong to the pose estimator and the denoiser. The parts
are timed by themselves on the same frames; `search` is all of them together, `steadied` the same with the transform of
the frame before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.calibration_inputs import SEEN, Inputs, drawn, official
from tpc_stream import subset_search as loops
from tpc_stream.procrustes import SearchConfig, Searcher, fit, mask_iou, warm_up, warp
from tpc_stream.searcher import score_all, score_fits
from tpc_stream.silhouettes import TargetSilhouette
from tpc_stream.steady import NOWHERE, Previous

START = """
import time
began = time.perf_counter()
import numpy as np
from tpc_stream import procrustes
imported = time.perf_counter()
procrustes.warm_up()
warm = time.perf_counter()
points, mask = np.random.default_rng(0).uniform(100, 400, (17, 2)), np.zeros((512, 512), np.uint8)
mask[100:400, 200:300] = 255
assert procrustes.search(points, np.ones(17), mask, points, np.ones(17), mask) is not None
print(imported - began, warm - imported, time.perf_counter() - warm)
"""


def milliseconds(call: Callable[[int], Any], count: int) -> dict[str, float]:
    """Median, least and p95 of wall time and the median of the thread's CPU time, in ms."""
    wall, cpu = [], []
    for i in range(count):
        wall_before, cpu_before = time.perf_counter(), time.thread_time()
        call(i)
        cpu.append(time.thread_time() - cpu_before)
        wall.append(time.perf_counter() - wall_before)
    return {
        "median": float(np.median(wall) * 1e3),
        "least": float(min(wall) * 1e3),
        "p95": float(np.percentile(wall, 95) * 1e3),
        "cpu": float(np.median(cpu) * 1e3),
    }


def measure(inputs: Inputs, brute_subsets: int) -> dict[str, Any]:
    """All figures for one canvas, with 17 common points."""
    config, frames = SearchConfig(), inputs.frames
    own, count, (width, height) = inputs.reference, len(frames), inputs.size
    searcher = Searcher(own.keypoints, SEEN, own.silhouette, config=config)
    reference, x = searcher.silhouette, own.keypoints.astype(np.float64)
    ys = [body.keypoints.astype(np.float64) for body in frames]
    first, later = config.rounds[0], config.rounds[1:]

    def target(i: int) -> TargetSilhouette:
        made = TargetSilhouette.of(frames[i].silhouette, threshold=config.mask_threshold)
        for estimate in config.rounds:
            made.table(cells=estimate.cells, samples=estimate.samples)
        return made

    targets = [target(i) for i in range(count)]
    table = targets[0].table(cells=first.cells, samples=first.samples)
    sums = loops.half_sums(x[:9], x[:9], loops.BLOCK), loops.half_sums(x[9:], x[9:], 1 << 8)
    scores, steadied, nothing = *np.empty((2, 1 << 17), np.float32), np.empty((2, 0), np.float32)

    def fits_alone(_: int) -> None:
        limits = (1e-3, (1 / 8, 8.0), (1.0, 1.0))
        loops.score_all(
            *sums, nothing, table.flat, table.width, table.full, np.zeros(2), *limits, NOWHERE, scores, steadied
        )

    def coarse(i: int) -> Any:
        made = score_all(x, ys[i], reference, targets[i], config)
        return loops.best_subsets(*made, later[0].subsets or 1, False)

    fits = [loops.fit_subsets(x, y, coarse(i)) for i, y in enumerate(ys)]

    def fine(i: int) -> None:
        for estimate in later:
            score_fits(fits[i][: estimate.subsets], reference, targets[i], estimate)

    def search(i: int) -> Any:
        return searcher.search(frames[i].keypoints, SEEN, frames[i].silhouette)

    answers = [search(i) for i in range(count)]
    if any(answer is None for answer in answers):
        raise ValueError("a frame of the benchmark has no transform")

    def exact(i: int) -> None:
        for _ in range(config.exact_subsets):
            targets[i].iou(reference, answers[i].transform)

    def steady(i: int) -> None:
        last = answers[max(i - 1, 0)]
        previous = Previous(last.transform, last.iou, 1 / 30)
        searcher.search(frames[i].keypoints, SEEN, frames[i].silhouette, previous=previous)

    rng, image = np.random.default_rng(1), np.zeros((height, width, 3), np.uint8)
    subsets = [rng.permutation(17)[: rng.integers(2, 18)] for _ in range(brute_subsets)]

    def brute(i: int) -> None:
        transform = fit(x[subsets[i]], ys[0][subsets[i]])
        if 1 / 8 <= transform.scale <= 8:
            mask_iou(warp(image, own.silhouette, transform, width=width, height=height)[1], frames[0].silhouette)

    parts = {
        "silhouettes": target,
        "fits": fits_alone,
        "fits and coarse": coarse,
        "fine": fine,
        "exact": exact,
        "search": search,
        "steadied": steady,
    }
    times = {name: milliseconds(call, count) for name, call in parts.items()}
    one = milliseconds(brute, brute_subsets)
    return {
        "inputs": inputs.name,
        "size": inputs.size,
        "frames": count,
        "mean_iou": float(np.mean([answer.iou for answer in answers])),
        "milliseconds": times,
        "prepare_reference": milliseconds(lambda _: Searcher(x, SEEN, own.silhouette, config=config), 5),
        "brute_force_seconds_a_frame": {k: v * 131_054 / 1e3 for k, v in one.items()},
    }


def start_seconds() -> list[dict[str, float]]:
    """From a fresh interpreter to the first result, twice: what is compiled in the first is cached in the second."""
    runs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
        runs.append(dict(zip(("import", "warm_up", "first_search"), map(float, done.stdout.split()), strict=True)))
    return runs


def main(arguments: Sequence[str]) -> int:
    """Print the figures; write them to a file with --json."""
    parser = argparse.ArgumentParser(prog="python -m bench calibration", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="canvas sizes of drawn people, pixels")
    parser.add_argument("--samples", type=Path, help="the folder of samples: also measures the official one")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--brute-subsets", type=int, default=300, help="measured in full, then scaled up")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    starts = start_seconds()
    for name, run in zip(("first", "second"), starts, strict=True):
        told = ", ".join(f"{part} {seconds:.2f}" for part, seconds in run.items())
        print(f"start, {name} run: {sum(run.values()):.2f} s to the first result ({told})", flush=True)
    warm_up()
    inputs = [drawn(size, options.frames) for size in options.sizes]
    if options.samples is not None:
        inputs.append(official(options.samples, options.frames, all_seen=True))
    results = [measure(made, options.brute_subsets) for made in inputs]
    for result in results:
        width, height = result["size"]
        print(f"\n{result['inputs']}, {width}x{height}, 17 common points, {result['frames']} frames; ms a frame")
        print(f"  {'':18}{'median':>8}{'least':>8}{'p95':>8}{'cpu':>8}")
        for name, value in result["milliseconds"].items():
            print(f"  {name:18}" + "".join(f"{value[k]:8.2f}" for k in ("median", "least", "p95", "cpu")))
        brute = result["brute_force_seconds_a_frame"]["cpu"]
        ratio = 1e3 * brute / result["milliseconds"]["search"]["cpu"]
        print(f"  brute force: about {brute:.0f} s of processor time a frame, {ratio:.0f} times the search")
        print(
            f"  mean IoU {result['mean_iou']:.4f}; the reference, once: {result['prepare_reference']['median']:.0f} ms"
        )
    if options.json:
        options.json.write_text(json.dumps({"start": starts, "results": results}, indent=2) + "\n", encoding="utf-8")
    return 0
