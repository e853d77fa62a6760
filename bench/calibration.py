"""What the subset search costs a frame, where the time goes, and what brute force would cost."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.drawn_people import STANDING, bent, placed, silhouette
from tpc_stream import subset_search as loops
from tpc_stream.frame import Similarity
from tpc_stream.procrustes import (
    SearchConfig,
    Searcher,
    fit,
    mask_iou,
    score_all,
    score_fits,
    warm_up,
    warp,
)
from tpc_stream.silhouettes import TargetSilhouette


def milliseconds(call: Callable[[int], Any], count: int) -> dict[str, float]:
    """Median and p95 of wall time and the median of the thread's CPU time, in ms."""
    wall, cpu = [], []
    for i in range(count):
        wall_before, cpu_before = time.perf_counter(), time.thread_time()
        call(i)
        cpu.append(time.thread_time() - cpu_before)
        wall.append(time.perf_counter() - wall_before)
    return {
        "median": float(np.median(wall) * 1e3),
        "p95": float(np.percentile(wall, 95) * 1e3),
        "cpu": float(np.median(cpu) * 1e3),
    }


def measure(size: int, frames: int, brute_subsets: int) -> dict[str, Any]:
    """All figures at one canvas size, with 17 common points and drawn people."""
    factor, config, seen = size / 256, SearchConfig(), np.ones(17, np.float32)
    centre = (size / 2, size / 2)
    own = placed(STANDING, Similarity(0.9 * factor, -0.6, centre))
    own_mask = silhouette(own, width=size, height=size)
    searcher = Searcher(own, seen, own_mask, config=config)
    reference = searcher.silhouette
    scales = np.random.default_rng(0).uniform(0.6, 1.2, frames)
    people = [
        placed(bent(STANDING, seed=i, pixels=15), Similarity(float(scale) * factor, i / 9, centre))
        for i, scale in enumerate(scales)
    ]
    masks = [silhouette(p, width=size, height=size) for p in people]
    targets = [TargetSilhouette.of(mask, threshold=config.mask_threshold) for mask in masks]
    x, ys = own.astype(np.float64), [p.astype(np.float64) for p in people]
    first, later = config.rounds[0], config.rounds[1:]

    def tables(i: int) -> None:
        fresh = TargetSilhouette.of(masks[i], threshold=config.mask_threshold)
        for estimate in config.rounds:
            fresh.table(cells=estimate.cells, samples=estimate.samples)

    for target in targets:
        for estimate in config.rounds:
            target.table(cells=estimate.cells, samples=estimate.samples)
    nothing = np.empty((2, 0), np.float32)
    sums = loops.half_sums(x[:9], x[:9], loops.BLOCK), loops.half_sums(x[9:], x[9:], 1 << 8)
    scratch, table = np.empty(1 << 17, np.float32), targets[0].table(cells=first.cells, samples=first.samples)

    def fits_alone(_: int) -> None:
        loops.score_all(
            *sums, nothing, table.flat, table.width, table.full, np.zeros(2), 1e-3, (1 / 8, 8.0), (1.0, 1.0), scratch
        )

    chosen = [loops.best_subsets(score_all(x, y, reference, t, config), later[0].subsets or 1)
              for y, t in zip(ys, targets, strict=True)]  # fmt: skip
    fits = [loops.fit_subsets(x, y, c) for y, c in zip(ys, chosen, strict=True)]

    def finer(i: int) -> None:
        for estimate in later:
            score_fits(fits[i][: estimate.subsets], reference, targets[i], estimate)

    rng = np.random.default_rng(1)
    subsets = [rng.permutation(17)[: rng.integers(2, 18)] for _ in range(brute_subsets)]
    image = np.zeros((size, size, 3), np.uint8)

    def brute(i: int) -> None:
        transform = fit(x[subsets[i]], ys[0][subsets[i]])
        mask_iou(warp(image, own_mask, transform, width=size, height=size)[1], masks[0])

    def exact(i: int) -> None:
        for _ in range(config.exact_subsets):
            targets[i].iou(reference, fit(x, ys[i]))

    answer = {
        "size": size,
        "total": milliseconds(lambda i: searcher.search(people[i], seen, masks[i]), frames),
        "tables": milliseconds(tables, frames),
        "fits": milliseconds(fits_alone, frames),
        "fits+coarse": milliseconds(lambda i: score_all(x, ys[i], reference, targets[i], config), frames),
        "finer": milliseconds(finer, frames),
        "exact": milliseconds(exact, frames),
        "prepare_reference": milliseconds(lambda i: Searcher(own, seen, own_mask, config=config), 5),
    }
    answer["brute_force_seconds_a_frame"] = milliseconds(brute, brute_subsets)["cpu"] * 131_054 / 1e3
    return answer


def main(arguments: Sequence[str]) -> int:
    """Print the figures; write them to a file with --json."""
    parser = argparse.ArgumentParser(prog="python -m bench calibration", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="canvas sizes, pixels")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--brute-subsets", type=int, default=300, help="measured in full, then scaled up")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    warm_up()
    results = [measure(size, options.frames, options.brute_subsets) for size in options.sizes]
    for result in results:
        print(f"{result['size']} x {result['size']}, 17 common points, one thread; ms a frame")
        print(f"  {'':18}{'median':>8}{'p95':>8}{'cpu':>8}")
        for name, value in result.items():
            if isinstance(value, dict):
                print(f"  {name:18}{value['median']:8.2f}{value['p95']:8.2f}{value['cpu']:8.2f}")
        print(f"  brute force: about {result['brute_force_seconds_a_frame']:.0f} s of CPU time a frame")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0
