"""The stage: fresh, held, uncalibrated; and the official sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from bench.drawn_people import STANDING, bent, placed, silhouette
from tpc_stream.calibrate import CalibrationConfig, CalibrationReport, calibrate
from tpc_stream.errors import InputError
from tpc_stream.frame import Body, CalibratedFrame, Frame, Portrait, PosedFrame, Similarity
from tpc_stream.portrait import prepare_portrait
from tpc_stream.pose import PoseEstimator
from tpc_stream.procrustes import Round, SearchConfig, Searcher, fit, mask_iou, warp
from tpc_stream.steady import SteadyConfig

SEEN = np.ones(17, np.float32)
BLANK = np.zeros((256, 256, 3), np.uint8)


STANDS = Similarity(0.8, 0.1, (128.0, 120.0))


def body(transform: Similarity = STANDS, *, seed: int = 0) -> Body:
    points = placed(bent(STANDING, seed=seed, pixels=5), transform)
    return Body(points, SEEN, silhouette(points))


def portrait() -> Portrait:
    own = body(Similarity(0.9, -0.6, (120.0, 128.0)))
    return Portrait(BLANK, own.silhouette, own)


def posed(*bodies: Body | None, rate: int = 10) -> Iterator[PosedFrame]:
    for i, one in enumerate(bodies):
        yield PosedFrame(Frame(i, Fraction(i, rate), BLANK, 0.0), one)


def run(*bodies: Body | None, report: CalibrationReport | None = None, **options) -> list[CalibratedFrame]:
    config = CalibrationConfig(**options)
    return list(calibrate(posed(*bodies), portrait(), config=config, report=report))


def statuses(frames: list[CalibratedFrame]) -> str:
    return "".join(f.calibration.status[0] for f in frames)


def spoilt(kind: str) -> Body | None:
    good = body()
    points, seen, mask = good.keypoints.copy(), SEEN.copy(), good.silhouette
    if kind == "person":
        return None
    if kind == "empty":
        mask = np.zeros_like(mask)
    elif kind == "faint":
        mask = mask // 3
    elif kind == "one point":
        seen[1:] = 0.1
    elif kind == "coincident":
        points[:] = 77.0
    elif kind == "huge":
        points *= 1000
    elif kind == "nan":
        points[:] = np.nan
    elif kind == "elsewhere":
        points += 2000
    return Body(points, seen, mask)


KINDS = ["person", "empty", "faint", "one point", "coincident", "huge", "nan", "elsewhere"]


def test_a_person_is_calibrated() -> None:
    frames = run(body(), body(Similarity(0.5, 0.7, (100.0, 90.0)), seed=2))
    assert statuses(frames) == "ff"
    for frame in frames:
        assert frame.calibration.iou > 0.7 and frame.calibration.subset and not frame.calibration.reason
        assert frame.body is not None
    assert frames[1].calibration.transform.scale == pytest.approx(0.5 / 0.9, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_shows_no_transform_holds_the_last_one_and_says_why(kind: str) -> None:
    good, bad = run(body(), spoilt(kind))
    assert (good.calibration.status, bad.calibration.status) == ("fresh", "held")
    assert bad.calibration.transform is good.calibration.transform
    assert bad.calibration.reason and bad.calibration.subset == 0
    seen = bad.body is not None and int(bad.body.silhouette.max()) >= 128
    assert math.isnan(bad.calibration.iou) is not seen
    if seen:
        assert bad.calibration.iou == pytest.approx(good.calibration.iou, abs=1e-9), "the same person stands there"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_past_the_reference_stays_as_it_is(kind: str) -> None:
    (frame,) = run(spoilt(kind))
    assert frame.calibration.status == "uncalibrated"
    assert np.array_equal(frame.calibration.transform.matrix, [[1, 0, 0], [0, 1, 0]])


def test_the_past_is_held_for_so_long_by_pts_and_no_longer() -> None:
    gap = [None] * 8
    assert statuses(run(body(), *gap, body(), hold_seconds=0.5)) == "f" + "hhhhh" + "uuu" + "f"
    assert statuses(run(body(), *gap, hold_seconds=0.49)) == "f" + "hhhh" + "uuuu"
    assert statuses(run(body(), *gap, hold_seconds=0.0)) == "f" + "u" * 8
    assert statuses(run(body(), None, None, body(), *gap, hold_seconds=0.3)) == "fhhf" + "hhhuuuuu"
    fast = calibrate(posed(body(), *gap, rate=100), portrait(), config=CalibrationConfig(hold_seconds=0.05))
    assert statuses(list(fast)) == "f" + "hhhhh" + "uuu"


def test_it_is_a_stage_that_waits_for_nobody() -> None:
    seen: list[int] = []

    def source() -> Iterator[PosedFrame]:
        for item in posed(body(), None, body()):
            seen.append(item.frame.index)
            yield item

    stage = calibrate(source(), portrait())
    assert seen == []
    assert next(stage).frame.index == 0 and seen == [0]
    assert [f.frame.index for f in stage] == [1, 2]


def test_the_report_counts() -> None:
    report = CalibrationReport()
    assert math.isnan(report.mean_iou)
    frames = run(body(), None, None, spoilt("one point"), spoilt("coincident"), body(seed=4), report=report)
    assert dict(report.frames) == {"fresh": 2, "held": 4}
    assert report.reasons.total() == 4 and report.reasons["no person found"] == 2 and len(report.reasons) == 3
    fresh = [f.calibration.iou for f in frames if f.calibration.status == "fresh"]
    assert report.mean_iou == pytest.approx(np.mean(fresh))


def test_a_low_iou_can_be_refused_and_the_visibility_chosen() -> None:
    (frame,) = run(body(), minimum_iou=0.99)
    assert frame.calibration.status == "uncalibrated" and "IoU" in frame.calibration.reason
    dim = Body(body().keypoints, np.full(17, 0.3, np.float32), body().silhouette)
    assert statuses(run(dim)) == "u"
    assert statuses(run(dim, search=SearchConfig(visibility=0.25))) == "f"


def test_options_that_cannot_be_are_refused() -> None:
    for bad in ({"hold_seconds": -1.0}, {"hold_seconds": math.nan}, {"minimum_iou": 1.0}, {"minimum_iou": -0.1}):
        with pytest.raises(InputError):
            CalibrationConfig(**bad)


def official(shared: Path, *, every: int) -> tuple[Portrait, list[PosedFrame]]:
    """The authors' reference and driving video with their masks and our poses, 512 x 512."""
    folder = shared / "samples" / "tpc-official"
    picture = cv2.cvtColor(cv2.imread(str(folder / "reference.png"), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    mask = cv2.imread(str(folder / "reference_mask.png"), cv2.IMREAD_GRAYSCALE)
    chosen = []
    with PoseEstimator() as estimator, av.open(str(folder / "driving.mp4")) as container:
        prepared = prepare_portrait(picture, mask=mask, width=512, height=512, estimator=estimator)
        for i, decoded in enumerate(container.decode(video=0)):
            if i % every == 0:
                frame = Frame(i, Fraction(i, 30), decoded.to_ndarray(format="rgb24"), 0.0)
                person = estimator.estimate(frame.image)
                assert person is not None
                theirs = cv2.imread(str(folder / "target_masks" / f"{i:03d}.png"), cv2.IMREAD_GRAYSCALE)
                chosen.append(PosedFrame(frame, Body(person.keypoints, person.visibility, theirs)))
    return prepared, chosen


def check_official(shared: Path, *, every: int) -> None:
    prepared, items = official(shared, every=every)
    report = CalibrationReport()
    # frames that lie apart do not steady each other
    config = CalibrationConfig(search=SearchConfig(steady=SteadyConfig(tolerance=0.0)))
    frames = list(calibrate(items, prepared, config=config, report=report))
    assert report.frames == {"fresh": len(items)}
    assert report.mean_iou >= 0.545

    def mean_iou(transforms: list[Similarity]) -> float:
        pairs = zip(transforms, items, strict=True)
        warped = ((warp(prepared.image, prepared.mask, t, width=512, height=512)[1], i) for t, i in pairs)
        return float(np.mean([mask_iou(mask, i.body.silhouette) for mask, i in warped if i.body is not None]))

    def of_points(end: int) -> float:
        own = prepared.body.keypoints[:end]
        return mean_iou([fit(own, i.body.keypoints[:end]) for i in items if i.body is not None])

    assert report.mean_iou == pytest.approx(mean_iou([f.calibration.transform for f in frames]), abs=1e-3)
    assert report.mean_iou > of_points(17) + 0.01 > of_points(5), "the search is what brings it"


@pytest.mark.samples
def test_official_sample_every_tenth_frame(shared: Path) -> None:
    check_official(shared, every=10)


@pytest.mark.slow
@pytest.mark.samples
def test_official_sample_all_frames(shared: Path) -> None:
    check_official(shared, every=1)


@pytest.mark.slow
@pytest.mark.samples
def test_ten_official_frames_are_within_brute_force(shared: Path) -> None:
    """Every subset of the 17 points has its transform's overlap measured in full, none is estimated."""
    prepared, items = official(shared, every=10)
    own = prepared.body
    everything = SearchConfig(rounds=(Round(None, 64, 64),), exact_subsets=1 << 17)
    quick, slow = (Searcher(own.keypoints, own.visibility, prepared.mask, config=c) for c in (None, everything))
    behind = []
    for item in items:
        assert item.body is not None
        target = item.body.keypoints, item.body.visibility, item.body.silhouette
        found, best = quick.search(*target), slow.search(*target)
        assert found is not None and best is not None
        _, warped = warp(prepared.image, prepared.mask, best.transform, width=512, height=512)
        assert mask_iou(warped, item.body.silhouette) == pytest.approx(best.iou, abs=1e-3)
        behind.append(best.iou - found.iou)
    assert len(behind) == 10 and max(behind) <= 0.003
    assert min(behind) >= -1e-6, "nothing is better than the best of all"
