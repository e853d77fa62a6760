"""The subset search: against brute force, on known transforms, and on input that has no answer."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.drawn_people import STANDING, bent, placed, silhouette
from bench.recovery import recover
from tpc_stream.errors import InputError
from tpc_stream.frame import Similarity
from tpc_stream.procrustes import Round, SearchConfig, Searcher, SearchResult, common_points, fit, search, warp
from tpc_stream.silhouettes import TargetSilhouette
from tpc_stream.subset_search import fit_subsets

PORTRAIT = placed(STANDING, Similarity(0.9, 0.5, (120.0, 130.0)))
SEEN = np.ones(17, np.float32)
ALL_EXACT = SearchConfig(exact_subsets=200)


def full_iou(transform: Similarity, reference: NDArray[np.uint8], target: NDArray[np.uint8]) -> float:
    image = np.zeros((*reference.shape, 3), np.uint8)
    _, warped = warp(image, reference, transform, width=target.shape[1], height=target.shape[0])
    a, b = warped >= 128, target >= 128
    return float((a & b).sum() / (a | b).sum())


def brute_force(y: NDArray[np.float32], visible: list[int], target: NDArray[np.uint8]) -> dict[int, float]:
    """The IoU of each subset, warped in full: subset bits -> IoU."""
    reference = silhouette(PORTRAIT)
    answer = {}
    for size in range(2, len(visible) + 1):
        for subset in itertools.combinations(visible, size):
            transform = fit(PORTRAIT[list(subset)], y[list(subset)])
            if 1 / 8 <= transform.scale <= 8:
                answer[sum(1 << k for k in subset)] = full_iou(transform, reference, target)
    return answer


def found(y: NDArray[np.float32], target: NDArray[np.uint8], *, visible: list[int] | None = None, **options):
    seen = SEEN if visible is None else np.isin(np.arange(17), visible).astype(np.float32)
    return search(PORTRAIT, SEEN, silhouette(PORTRAIT), y, seen, target, **options)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("visible", [[0, 5, 6, 9, 12, 15], [1, 3, 7, 8, 11, 16]])
def test_is_the_best_of_all_subsets(seed: int, visible: list[int]) -> None:
    y = placed(bent(STANDING, seed=seed, pixels=15), Similarity(0.8, -0.4, (125.0, 120.0)))
    target = silhouette(y)
    every = brute_force(y, visible, target)
    assert len(every) >= 50
    exact = found(y, target, visible=visible, config=ALL_EXACT)
    assert exact is not None and exact.iou == pytest.approx(max(every.values()), abs=5e-4)
    assert every[exact.subset] == pytest.approx(exact.iou, abs=5e-4)
    quick = found(y, target, visible=visible)
    assert quick is not None and quick.iou >= max(every.values()) - 0.01


@pytest.mark.parametrize("seed", range(3))
def test_of_all_131054_subsets_it_misses_little(seed: int) -> None:
    """The quick rounds against 600 subsets measured exactly, of the best by far better estimates."""
    y = placed(bent(STANDING, seed=seed, pixels=20), Similarity(1.1, 0.2, (128.0, 135.0)))
    y += np.random.default_rng(seed).normal(0, 4, y.shape).astype(np.float32)
    target = silhouette(y)
    slow = SearchConfig(rounds=(Round(None, 256, 128), Round(6000, 2048, 256)), exact_subsets=600)
    quick, best = found(y, target), found(y, target, config=slow)
    assert quick is not None and best is not None and best.common == 17
    assert quick.iou >= best.iou - 0.005


@pytest.mark.parametrize("angle", [-3.0, -1.0, 0.3, 2.0])
@pytest.mark.parametrize("scale", [0.3, 0.8, 1.3])
def test_recovers_the_transform_when_half_of_the_points_lie(angle: float, scale: float) -> None:
    made = Similarity(scale, angle, (110.0, 120.0))
    there = Similarity(scale / 0.9, angle - 0.5, (0.0, 0.0))
    y = placed(STANDING, made)
    target = silhouette(y)
    wrong = y.copy()
    wrong[[0, 1, 3, 7, 9, 12, 14, 15]] += np.random.default_rng(1).normal(0, 40, (8, 2)).astype(np.float32)
    result = found(wrong, target)
    assert result is not None and result.iou > 0.85
    assert result.transform.scale == pytest.approx(there.scale, rel=0.06)
    assert abs(math.remainder(result.transform.angle_radians - there.angle_radians, math.tau)) < 0.06
    everything = full_iou(fit(PORTRAIT, wrong), silhouette(PORTRAIT), target)
    assert result.iou > everything + 0.05, "the subset is what makes the difference"


def test_the_result_is_what_its_subset_fits() -> None:
    y = placed(bent(STANDING, seed=3, pixels=15), Similarity(0.8, -0.4, (125.0, 120.0)))
    target = silhouette(y)
    result = found(y, target)
    assert isinstance(result, SearchResult)
    members = [k for k in range(17) if result.subset >> k & 1]
    np.testing.assert_allclose(result.transform.matrix, fit(PORTRAIT[members], y[members]).matrix, atol=1e-4)
    assert result.iou == pytest.approx(full_iou(result.transform, silhouette(PORTRAIT), target), abs=5e-4)


def test_points_unseen_or_not_a_number_have_no_say() -> None:
    y = placed(bent(STANDING, seed=5, pixels=15), Similarity(0.8, -0.4, (125.0, 120.0)))
    target = silhouette(y)
    visible = [0, 2, 5, 6, 8, 11, 12, 14]
    expected = found(y, target, visible=visible)
    spoilt, seen = y.copy(), np.isin(np.arange(17), visible).astype(np.float32)
    spoilt[1], spoilt[3], seen[[1, 3]] = np.nan, np.inf, 1.0
    spoilt[4] = 1e30
    seen[4] = 1.0
    result = search(PORTRAIT, SEEN, silhouette(PORTRAIT), spoilt, seen, target)
    assert result is not None and expected is not None and expected.common == len(visible)
    assert (result.subset, result.iou, result.common) == (expected.subset, expected.iou, expected.common)
    assert np.array_equal(result.transform.matrix, expected.transform.matrix)


def test_the_same_input_gives_the_same_bits_in_every_thread() -> None:
    y = placed(bent(STANDING, seed=7, pixels=15), Similarity(0.8, -0.4, (125.0, 120.0)))
    target, searcher = silhouette(y), Searcher(PORTRAIT, SEEN, silhouette(PORTRAIT))
    results: list[SearchResult | None] = []
    threads = [threading.Thread(target=lambda: results.append(searcher.search(y, SEEN, target))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(
        r is not None and results[0] is not None and r.subset == results[0].subset and r.iou == results[0].iou
        and np.array_equal(r.transform.matrix, results[0].transform.matrix)
        for r in results
    )  # fmt: skip


def test_masks_may_differ_in_size_and_lie_in_any_layout() -> None:
    y = placed(STANDING, Similarity(0.5, 0.0, (60.0, 70.0)))
    target = silhouette(y, width=130, height=150)
    straight = found(y, target)
    strided = found(y, np.repeat(target, 2, axis=1)[:, ::2])
    turned = found(y, np.asfortranarray(target))
    assert straight is not None and straight.iou > 0.9
    assert strided is not None and turned is not None and straight.iou == strided.iou == turned.iou


def test_a_person_who_leaves_the_canvas_is_measured_on_it() -> None:
    y = placed(STANDING, Similarity(1.6, 0.1, (128.0, 200.0)))
    target = silhouette(y)
    result = found(y, target)
    assert result is not None and result.iou > 0.85


@pytest.mark.parametrize("points", [2, 3, 9, 10])
def test_few_points(points: int) -> None:
    y = placed(STANDING, Similarity(0.7, 0.2, (128.0, 120.0)))
    result = found(y, silhouette(y), visible=list(range(5, 5 + points)))
    assert result is not None and result.common == points and result.subset.bit_count() >= 2 and result.iou > 0.6


def test_no_answer_where_there_is_none() -> None:
    y = placed(STANDING, Similarity(0.8, 0.0, (128.0, 128.0)))
    target = silhouette(y)
    assert found(y, target, visible=[4]) is None
    assert found(y, target, visible=[]) is None
    assert found(y, np.zeros_like(target)) is None
    assert found(np.full_like(y, 50), target) is None
    assert found(np.full_like(y, np.nan), target) is None
    assert search(PORTRAIT, SEEN, np.zeros_like(target), y, SEEN, target) is None
    assert search(np.full_like(PORTRAIT, 9), SEEN, silhouette(PORTRAIT), y, SEEN, target) is None


def test_scales_out_of_range_are_no_answer() -> None:
    config = SearchConfig(minimum_scale=0.95, maximum_scale=1.05)
    y = placed(STANDING, Similarity(0.45, 0.0, (128.0, 128.0)))
    assert found(y, silhouette(y), config=config) is None
    assert found(y, silhouette(y)) is not None


def test_a_thin_silhouette_is_sampled() -> None:
    line = np.zeros((256, 256), np.uint8)
    line[10, 200], line[250, 3] = 255, 255
    result = search(PORTRAIT, SEEN, line, PORTRAIT, SEEN, line)
    assert result is not None and result.iou == 1.0


def test_configurations_that_cannot_be_are_refused() -> None:
    for bad in (
        {"minimum_scale": 0.0}, {"minimum_scale": 2.0, "maximum_scale": 1.0}, {"mask_threshold": 0},
        {"rounds": ()}, {"rounds": (Round(10, 32, 64),)}, {"rounds": (Round(None, 32, 64), Round(None, 32, 64))},
        {"exact_subsets": 0},
    ):  # fmt: skip
        with pytest.raises(InputError):
            SearchConfig(**bad)
    for samples, cells in ((30, 64), (0, 64), (4096, 64), (32, 0)):
        with pytest.raises(InputError):
            Round(None, samples, cells)


@pytest.mark.slow
def test_works_where_no_folder_can_hold_the_machine_code(project: Path, tmp_path: Path) -> None:
    """As in a container whose package and home are read-only: numba's own answer is an error at import."""
    code = "from tpc_stream import procrustes; procrustes.warm_up(); print('ran')"
    environment = {
        **os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_LOCATOR_CLASSES":
        "ZipCacheLocator",
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "ran", "")


@pytest.mark.slow
@pytest.mark.samples
def test_ten_official_frames_against_every_subset_warped(shared: Path) -> None:
    """131,054 exact IoUs a frame: within 0.003 of the best of them."""
    from bench.calibration_inputs import official

    inputs = official(shared, 93, all_seen=False)
    own = inputs.reference
    searcher = Searcher(own.keypoints, own.visibility, own.silhouette)
    for body in inputs.frames[4::9]:
        common = common_points(own.keypoints, own.visibility, body.keypoints, body.visibility)
        result = searcher.search(body.keypoints, body.visibility, body.silhouette)
        target = TargetSilhouette.of(body.silhouette, threshold=128)
        x, y = own.keypoints[common].astype(np.float64), body.keypoints[common].astype(np.float64)
        every = np.array([s for s in range(1 << len(common)) if s.bit_count() >= 2])
        best = 0.0
        for a0, a1, t0, t1 in fit_subsets(x, y, every):
            transform = Similarity(math.hypot(a0, a1), math.atan2(a1, a0), (t0, t1))
            if 1 / 8 <= transform.scale <= 8:
                best = max(best, target.iou(searcher.silhouette, transform))
        assert result is not None and best - 0.003 <= result.iou <= best + 1e-9


@pytest.mark.parametrize(("seed", "displaced"), [(21, 0.2), (23, 0.2), (28, 0.2), (28, 0.4)])
def test_points_that_are_right_give_the_very_transform_among_wrong_ones(seed: int, displaced: float) -> None:
    """Here 1536 subsets with a moved point look better than the perfect ones to the first, rough estimate."""
    pixels, degrees = recover(seed=seed, noise_pixels=0.0, displaced=displaced)
    assert pixels <= 0.5 and degrees <= 0.1
