"""SAM at run time, without torch: the same answers as the makers' own predictor, and the choice among them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.dots import DotEstimator, draw_person
from tests.tiny_sam import TINY, random_sam
from tpc_stream.errors import BackendError, BundleError, InputError, PortraitError
from tpc_stream.options import AnimateOptions
from tpc_stream.people.sam_picture import SamPlacement, placed
from tpc_stream.people.segmenter import SamSegmenter, SegmenterConfig, choose
from tpc_stream.pipeline import Animator
from tpc_stream.portrait import prepare_portrait


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package's own predictor; the two functions it takes from torchvision are Pillow's, as they are there."""
    functional: Any = ModuleType("torchvision.transforms.functional")
    functional.resize = lambda image, size: image.resize(size[::-1], Image.Resampling.BILINEAR)
    functional.to_pil_image = Image.fromarray
    spec = importlib.util.find_spec("segment_anything")
    assert spec is not None and spec.submodule_search_locations is not None
    package = ModuleType("segment_anything")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.transforms", ModuleType("torchvision.transforms"))
    monkeypatch.setitem(sys.modules, "torchvision.transforms.functional", functional)
    monkeypatch.setitem(sys.modules, "segment_anything", package)
    yield importlib.import_module("segment_anything.predictor")
    for name in ("segment_anything.predictor", "segment_anything.utils.transforms"):
        sys.modules.pop(name, None)


def _picture(width: int, height: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(5).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


POINTS = np.array([(40.5, 30.5), (90.0, 80.25), (120.75, 20.0)], np.float32)


@pytest.mark.parametrize(
    ("width", "height", "tolerance"),
    [(256, 171, 1e-4), (171, 256, 1e-4), (200, 131, 0.02), (433, 700, 0.02)],
)
def test_answers_are_those_of_the_makers_predictor(
    tiny_sam: Path, makers: ModuleType, width: int, height: int, tolerance: float
) -> None:
    """To the last bits where nothing is resized; a resize rounds a few pixels to the next grey level."""
    image = _picture(width, height)
    predictor = makers.SamPredictor(random_sam(TINY))
    predictor.set_image(image)
    labels = np.ones(len(POINTS), int)
    shown = POINTS - 0.5  # their pixel centres lie at whole numbers
    single, single_score, _ = predictor.predict(shown, labels, multimask_output=False, return_logits=True)
    several, scores, _ = predictor.predict(shown, labels, multimask_output=True, return_logits=True)
    with SamSegmenter(tiny_sam, threads=1) as segmenter:
        found, found_scores = segmenter.answers(image, POINTS)
        moved, _ = segmenter.answers(image, POINTS[:, ::-1])
    expected = np.concatenate([single, several])
    assert found.shape == expected.shape == (4, height, width)
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() <= tolerance * scale
    assert np.abs(found_scores - np.concatenate([single_score, scores])).max() <= tolerance
    assert np.abs(moved - expected).max() > 0.03 * scale  # the points matter


@pytest.mark.parametrize(("width", "height"), [(1000, 667), (667, 1000), (622, 913), (1448, 1024), (31, 2000)])
def test_pictures_and_prompts_are_resized_as_by_the_makers(makers: ModuleType, width: int, height: int) -> None:
    theirs = makers.ResizeLongestSide(1024)
    image = _picture(width, height)
    place = SamPlacement.of(width, height, size=1024)
    expected = theirs.apply_image(image)
    own = placed(image, place)
    assert own.shape == expected.shape
    assert np.abs(own.astype(int) - expected.astype(int)).max() <= 1
    points = np.array([(0.5, 0.5), (17.25, 29.0), (30.5, 600.0)], np.float32)
    assert np.allclose(place.prompt(points), theirs.apply_coords(points - 0.5, (height, width)), atol=1e-3)


def _masks(*boxes: tuple[int, int]) -> NDArray[np.float32]:
    logits = np.full((len(boxes), 100, 100), -5.0, np.float32)
    for logit, (top, bottom) in zip(logits, boxes, strict=True):
        logit[top:bottom, 30:70] = 5.0
    return logits


def test_the_best_score_wins_among_masks_that_hold_the_keypoints() -> None:
    points = np.array([(50, y) for y in range(15, 95, 10)], np.float32)
    part, person, larger = (10, 50), (10, 90), (5, 95)
    scores = np.array([0.99, 0.8, 0.9], np.float32)
    assert choose(_masks(part, person, larger), scores, points) == 2
    assert choose(_masks(part, larger, person), scores, points) == 2
    assert choose(_masks(person, part, larger), scores, points) == 0


def test_a_mask_of_the_whole_picture_or_of_a_part_is_refused() -> None:
    points = np.array([(50, y) for y in range(15, 95, 10)], np.float32)
    everything = np.full((1, 100, 100), 3.0, np.float32)
    with pytest.raises(PortraitError, match=r"her\.png: none of SAM's 2 masks is the person.*--reference-mask"):
        choose(np.concatenate([everything, _masks((10, 40))]), np.array([0.9, 0.9], np.float32), points, name="her.png")


def test_a_mask_comes_at_the_pictures_size_with_a_soft_border(tiny_sam: Path) -> None:
    image = _picture(300, 200)
    anything = SegmenterConfig(min_inside=0.0, max_cover=1.0)
    keypoints = np.tile(np.array([[150.0, 100.0]], np.float32), (17, 1))
    with SamSegmenter(tiny_sam, threads=1, config=anything) as segmenter:
        mask = segmenter.mask(image, keypoints=keypoints, visibility=np.ones(17, np.float32))
        logits, scores = segmenter.answers(image, keypoints)
        again = segmenter.mask(image, keypoints=keypoints, visibility=np.ones(17, np.float32))
    assert mask.shape == (200, 300) and mask.dtype == np.uint8 and np.array_equal(mask, again)
    best = logits[int(np.argmax(scores))]
    assert np.array_equal(mask[np.abs(best) > 0.01] >= 128, best[np.abs(best) > 0.01] > 0)


def test_without_a_visible_keypoint_sam_cannot_be_asked(tiny_sam: Path) -> None:
    image = _picture(64, 64)
    with SamSegmenter(tiny_sam, threads=1) as segmenter:
        with pytest.raises(PortraitError, match=r"me\.png: none of the person's keypoints can be seen"):
            segmenter.mask(
                image, keypoints=np.full((17, 2), 32, np.float32), visibility=np.zeros(17, np.float32), name="me.png"
            )
        with pytest.raises(InputError, match="HWC RGB uint8"):
            segmenter.mask(image[..., 0], keypoints=np.zeros((17, 2), np.float32), visibility=np.ones(17, np.float32))


def test_graphs_that_are_not_the_manifests_are_refused(tiny_sam: Path, tmp_path: Path) -> None:
    for path in tiny_sam.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("size = 256", "size = 512"))
    with pytest.raises((BackendError, ValueError), match=r"the manifest says image: float32\[1, 3, 512, 512\]"):
        SamSegmenter(tmp_path)


# ---- in the portrait


class LeftHalf:
    """A segmenter that writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], NDArray[np.float32], str]] = []

    def mask(
        self,
        image: NDArray[np.uint8],
        *,
        keypoints: NDArray[np.float32],
        visibility: NDArray[np.float32],
        name: str = "the picture",
    ) -> NDArray[np.uint8]:
        self.asked.append((image.shape, keypoints, name))
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[:, : image.shape[1] // 2] = 255
        return mask


def test_the_portrait_asks_with_the_keypoints_of_the_whole_picture() -> None:
    image, places = draw_person(width=1300, height=1000, scale=9.0, left=200, top=50)
    segmenter = LeftHalf()
    portrait = prepare_portrait(
        image, width=650, height=500, name="her.png", estimator=DotEstimator(), segmenter=segmenter
    )
    ((shape, keypoints, name),) = segmenter.asked
    assert shape == (1000, 1300, 3) and name == "her.png"
    assert np.abs(keypoints - places).max() < 2.0
    assert (portrait.mask[:, :324] == 255).all() and not portrait.mask[:, 326:].any()


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_sam_is_not_asked_where_the_picture_has_a_mask(kind: str) -> None:
    image, _ = draw_person(width=310, height=310)
    given = np.zeros((310, 310), np.uint8)
    given[5:] = 255
    segmenter = LeftHalf()
    portrait = prepare_portrait(
        image, **{kind: given}, width=310, height=310, estimator=DotEstimator(), segmenter=segmenter
    )
    assert not segmenter.asked and np.array_equal(portrait.mask, given)


# ---- in a run


def test_a_run_asks_the_sam_of_its_options(
    tiny: Path, tiny_sam: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []

    def left_half(self: SamSegmenter, image: NDArray[np.uint8], *, name: str, **_: object) -> NDArray[np.uint8]:
        asked.append((self.bundle.image_size, name))
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[:, : image.shape[1] // 2] = 255
        return mask

    monkeypatch.setattr(SamSegmenter, "mask", left_half)  # random weights know nobody
    with Animator(AnimateOptions(bundle=tiny, sam=tiny_sam)) as animator:
        portrait = animator.set_reference(reference)
    assert asked == [(256, str(reference))]
    half = portrait.mask.shape[1] // 2
    assert (portrait.mask[:, : half - 1].max(axis=0) == 255).all() and not portrait.mask[:, half + 1 :].any()


def test_a_folder_that_is_no_sam_is_named_before_the_person_is_looked_for(tiny: Path, tmp_path: Path) -> None:
    with Animator(AnimateOptions(bundle=tiny, sam=tmp_path / "nowhere")) as animator:
        with pytest.raises(BundleError, match=r"nowhere is no folder with SAM's graphs.*export sam"):
            animator.set_reference(np.zeros((64, 64, 3), np.uint8))
