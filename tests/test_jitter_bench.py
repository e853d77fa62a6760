"""`bench jitter` on drawn clips and hand-made bundles: what is moved, what is paired, what is written."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import jitter, people
from bench.photographs import CAPTION
from bench.quality.runs import Runner, score
from bench.quality.sets import Sizes, TestClip
from tests.drawn_clips import drawn_clip
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.errors import InputError
from tpc_stream.options import AnimateOptions
from tpc_stream.plan import Plan

SIZES = Sizes((256, 256), (32, 32))
CALL = ["--threads", "1", "--seeds", "1", "--clips-per-seed", "1"]


def keypoints(clip: TestClip) -> np.ndarray:
    return np.array([item.body.keypoints for item in clip.frames if item.body is not None])


def test_keypoints_alone_are_moved_frame_by_frame_as_far_as_asked() -> None:
    clip = drawn_clip(SIZES, 1)
    clip = replace(clip, frames=clip.frames * 25)
    moved = jitter.jittered(clip, 1.2, seed=(1, 0))
    noise = keypoints(moved) - keypoints(clip)
    assert noise.std(axis=(0, 1)) == pytest.approx(0.012 * 256, rel=0.06)
    assert abs(noise.mean()) < 0.2
    assert abs(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]) < 0.06
    for a, b in zip(moved.frames, clip.frames, strict=True):
        assert a.body is not None and b.body is not None
        assert a.frame is b.frame and a.body.silhouette is b.body.silhouette and a.body.visibility is b.body.visibility
    assert moved.cases is clip.cases and moved.mattes is clip.mattes and moved.truths is clip.truths


def test_the_same_noise_comes_at_every_strength_and_another_with_another_seed() -> None:
    clip = drawn_clip(SIZES, 1)
    noise = {s: keypoints(jitter.jittered(clip, s, seed=(1, 0))) - keypoints(clip) for s in jitter.SIGMAS}
    assert not noise[0.0].any()
    np.testing.assert_allclose(noise[1.2], 4 * noise[0.3], atol=1e-3)
    for other in ((1, 1), (2, 0)):
        assert np.abs(keypoints(jitter.jittered(clip, 1.2, seed=other)) - keypoints(clip) - noise[1.2]).max() > 1
    nobody = replace(clip, frames=(replace(clip.frames[0], body=None), *clip.frames[1:]))
    np.testing.assert_array_equal(keypoints(jitter.jittered(nobody, 1.2, seed=(1, 0))) - keypoints(clip)[1:],
                                  noise[1.2][1:])  # fmt: skip


def test_changes_are_taken_seed_by_seed() -> None:
    values = {
        (name, sigma, metric): [add + 10 * sigma, add + 5 + 20 * sigma]
        for metric in jitter.METRICS for sigma in jitter.SIGMAS for name, add in (("a", 0.0), ("b", 2.0))
    }  # fmt: skip
    found = jitter.figures(values, first="a")
    assert list(found) == ["", "change by jitter", "against a"]
    one = found["change by jitter"]["b", 0.3, "flicker"]
    assert one.mean == pytest.approx(4.5) and one.high - one.low == pytest.approx(2 * 12.7062 * 1.5, rel=1e-4)
    against = found["against a"]["b", 1.2, "flicker"]
    assert (against.mean, against.low, against.high) == pytest.approx((2.0, 2.0, 2.0))
    assert all(sigma for _, sigma, _ in found["change by jitter"])
    assert {name for name, _, _ in found["against a"]} == {"b"}
    assert list(jitter.figures({k: v for k, v in values.items() if k[0] == "a"}, first="a")) == ["", "change by jitter"]


class Drawn:
    """In a workshop's place."""

    def __init__(self, sizes: Sizes, *, clips: Path | None) -> None:
        self.sizes = sizes

    def clips(self, *, seed: int, count: int, frames: int) -> Iterator[TestClip]:
        for number in range(count):
            clip = drawn_clip(self.sizes, seed + 7 * number)
            still = np.zeros((len(clip.frames) - 1, *self.sizes.output[::-1], 2), np.float32)
            yield replace(clip, flow=still, cases=clip.cases[::-1])


def test_the_command_compares_bundles_at_one_size_and_writes_what_it_prints(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jitter, "Workshop", Drawn)
    monkeypatch.setattr(jitter, "SIGMAS", (0.0, 1.2))  # each takes its time
    seeing = make_tiny_bundle(tmp_path / "seeing", temporal=True, window=8, overlap=4)
    out, plot = tmp_path / "a.csv", tmp_path / "a.png"
    bundles = ["--bundles", str(tiny), str(seeing)]
    assert jitter.main([*bundles, *CALL, "--size", "64x64", "--csv", str(out), "--plot", str(plot)]) == 0
    told = capsys.readouterr().out
    assert "seeing: windows of 8 frames, overlap 4" in told and "compared at 64x64" in told
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["bundle"], float(row["sigma percent"])) for row in rows] == [
        (name, sigma) for name in ("tiny", "seeing") for sigma in jitter.SIGMAS
    ]
    assert rows[0]["person PSNR mean"] != rows[1]["person PSNR mean"]
    strong = {row["bundle"]: row for row in rows if row["sigma percent"] == "1.2"}
    for metric in jitter.METRICS:
        own, other = (float(strong[name][f"{metric} mean"]) for name in ("seeing", "tiny"))
        assert float(strong["seeing"][f"{metric} against tiny mean"]) == pytest.approx(own - other, abs=1e-2)
        assert strong["tiny"][f"{metric} against tiny mean"] == "" == rows[0][f"{metric} change by jitter mean"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_figures_are_those_of_the_aligned_reference(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jitter, "SIGMAS", (0.6,))
    options = AnimateOptions(bundle=tiny, threads=1)
    clips = Drawn(SIZES, clips=None)
    values = jitter.measure(lambda seed: clips.clips(seed=seed, count=1, frames=4), [3], {"tiny": options},
                            progress=lambda _: None)  # fmt: skip
    clip = next(clips.clips(seed=3, count=1, frames=4))
    shaken = jitter.jittered(clip, 0.6, seed=(3, 0))
    with Runner(replace(options, seed=3)) as runner:
        found = score(clip, runner.run(shaken, clip.cases[1]), names=("person PSNR",))
    assert values["tiny", 0.6, "person PSNR"] == [found.frames["person PSNR"].mean()]
    assert values["tiny", 0.6, "flicker"] == [found.steps["flicker"].mean()]


def test_what_cannot_be_compared_is_refused_in_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert jitter.labels(["x/a", "y/b"]) == ["a", "b"] and jitter.labels(["x/a", "y/a"]) == ["x/a", "y/a"]
    assert jitter.main(["--bundles", str(tiny), str(tiny)]) == 2
    assert jitter.main(["--bundles", str(tiny), "--size", "64x32"]) == 2
    assert jitter.main(["--bundles", str(tmp_path / "nobody")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and all(line.startswith("error: ") for line in errors)
    assert "named once" in errors[0] and "--size 64x64" in errors[1]


def test_bundles_that_look_at_other_sizes_are_refused(tiny: Path) -> None:
    with Runner(AnimateOptions(bundle=tiny, threads=1)) as runner:
        plan: Plan = runner.plan
    assert jitter.sizes_of({"a": plan, "b": plan}) == Sizes((256, 256), (32, 32))
    with pytest.raises(InputError, match="a 256x256, b 512x512"):
        jitter.sizes_of({"a": plan, "b": replace(plan, canvas=(512, 512))})


def test_people_are_shown_side_by_side(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "Workshop", Drawn)
    sheet = tmp_path / "sheet.png"
    call = ["--bundles", str(tiny), "--count", "2", "--frames", "4", "--threads", "1", "--out", str(sheet)]
    assert people.main(call) == 0
    shown = cv2.imread(str(sheet))[..., ::-1]
    assert shown.shape == (2 * (32 + CAPTION), 3 * 32, 3)
    clip = next(Drawn(SIZES, clips=None).clips(seed=0, count=1, frames=4))
    np.testing.assert_array_equal(shown[CAPTION : 32 + CAPTION, 32:64], clip.truths[2])
    with Runner(AnimateOptions(bundle=tiny, threads=1, seed=0)) as runner:
        np.testing.assert_array_equal(shown[CAPTION : 32 + CAPTION, 64:], runner.run(clip, clip.cases[1])[2])
    assert people.main([*call, "--size", "64x32"]) == 2
