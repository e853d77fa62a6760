from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import calibrated, portrait
from tests.tiny_bundle import make_tiny_bundle
from tpc_stream.backends import open_backend
from tpc_stream.bundle import open_bundle
from tpc_stream.decode import decode
from tpc_stream.denoise import DenoisedFrame
from tpc_stream.errors import EngineError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.plate import background_plate, composite


def run(
    folder: Path, latents: np.ndarray, *, size: int = 32, shown: bool = True, mattes: bool = True
) -> list[AnimatedFrame]:
    bundle = open_bundle(make_tiny_bundle(folder, mattes=mattes))
    backend = open_backend("onnxrt", threads=1)
    engines = {role: backend.open(graph) for role, graph in bundle.manifest.graphs.items()}
    items = [DenoisedFrame(frame, latents[None], shown, ends_batch=k == 2) for k, frame in enumerate(calibrated(3))]
    return list(decode(items, bundle=bundle, engines=engines, portrait=portrait(), width=size, height=size))


def latents(matte: float) -> np.ndarray:
    made = np.zeros((4, 8, 8), np.float32)
    made[0], made[1], made[2], made[3] = 1.0, -1.0, 0.0, matte
    return made


def test_the_matte_lays_the_person_over_the_references_background(tmp_path: Path) -> None:
    frames = run(tmp_path / "tiny", latents(1.0))
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames[1].pts_seconds == calibrated(3)[1].frame.pts_seconds
    assert frames[0].image.shape == (32, 32, 3)
    assert (frames[0].image == (255, 0, 128)).all()
    empty = run(tmp_path / "empty", latents(0.0))[0].image
    assert np.abs(empty.astype(int) - (30, 60, 90)).max() <= 3


def test_a_frame_without_a_person_shows_the_background_alone(tmp_path: Path) -> None:
    image = run(tmp_path / "tiny", latents(1.0), shown=False)[0].image
    assert np.abs(image.astype(int) - (30, 60, 90)).max() <= 3


def test_without_mattes_the_picture_is_the_networks_own(tmp_path: Path) -> None:
    assert (run(tmp_path / "tiny", latents(0.0), mattes=False)[0].image == (255, 0, 128)).all()


@pytest.mark.parametrize("size", [16, 96])
def test_the_output_size_is_free(tmp_path: Path, size: int) -> None:
    assert run(tmp_path / "tiny", latents(1.0), size=size)[0].image.shape == (size, size, 3)


def test_nan_in_the_latents_is_an_error_and_not_a_picture(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the decode graph gave"):
        run(tmp_path / "tiny", np.full((4, 8, 8), np.nan, np.float32))


def test_the_plate_keeps_the_background_and_loses_the_person() -> None:
    rng = np.random.default_rng(0)
    image = np.repeat(np.linspace(40, 200, 64, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    image = (image + rng.integers(0, 5, image.shape)).astype(np.uint8)
    person = image.copy()
    mask = np.zeros((64, 64), np.uint8)
    mask[20:50, 25:40] = 255
    person[mask > 0] = (255, 0, 0)
    plate = background_plate(person, mask)
    assert np.abs(plate.astype(int) - image).max() < 30
    far = np.ones((64, 64), bool)
    far[14:56, 19:46] = False
    assert np.array_equal(plate[far], image[far])


def test_a_floor_goes_on_behind_the_person() -> None:
    ground = np.full((160, 160, 3), 200, np.uint8)
    ground[120:] = (110, 80, 60)
    person, mask = ground.copy(), np.zeros((160, 160), np.uint8)
    mask[30:150, 60:100] = 255
    person[mask > 0] = (255, 0, 0)
    error = np.abs(background_plate(person, mask).astype(int) - ground)
    edge = np.zeros(160, bool)
    edge[108:132] = True
    assert error[~edge].max() < 6 and error.mean() < 1.5


def test_a_plate_of_nobody_or_of_nothing_else() -> None:
    image = np.full((16, 16, 3), 7, np.uint8)
    assert np.array_equal(background_plate(image, np.zeros((16, 16), np.uint8)), image)
    assert (background_plate(image, np.full((16, 16), 255, np.uint8)) == 128).all()


def test_composite_is_linear_in_the_matte() -> None:
    a, b = np.full((2, 2, 3), 10, np.float32), np.full((2, 2, 3), 20, np.float32)
    assert (composite(a, np.full((2, 2), 0.25, np.float32), b) == 17.5).all()
