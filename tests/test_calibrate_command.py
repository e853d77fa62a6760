"""`tpc-stream calibrate` as a user meets it: real files, the real estimator, no bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.media import make_picture, make_video
from tests.test_cli import Run, frames_of
from tpc_stream import calibrate_run, calibrator
from tpc_stream.cli import main
from tpc_stream.frame import KEYPOINT_NAMES
from tpc_stream.portrait import PortraitConfig, prepare_portrait
from tpc_stream.procrustes import mask_iou
from tpc_stream.source import probe

FRAMES, SIZE = 6, 192
ROW = {
    "index", "pts_seconds", "iou", "scale", "angle_radians", "translation_pixels", "subset", "held", "status",
    "reason", "search_ms",
}  # fmt: skip


def call(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    return 0


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference, which stands upright, is looked at once instead of under every turn."""
    config = PortraitConfig(turns_degrees=(0.0,))
    monkeypatch.setattr(calibrator, "prepare_portrait", partial(prepare_portrait, config=config))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, reference: Path, motion: Path) -> Path:
    """One run that writes all it can, in a folder."""
    folder = tmp_path_factory.mktemp("calibrated")
    code = call(
        "calibrate", "-r", reference, "-m", motion, "-o", folder / "a.mp4", "--sheet", folder / "a.png",
        "--json", folder / "a.json", "--out-dir", folder / "pictures", "--max-frames", FRAMES,
        "--size", f"{SIZE}x{SIZE}",
    )  # fmt: skip
    assert code == 0
    return folder


def document(path: Path) -> dict[str, Any]:
    loaded = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert isinstance(loaded, dict)
    return loaded


def picture(path: Path) -> np.ndarray:
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read is not None, path
    return read


def test_the_video_and_the_sheet_show_every_panel(made: Path) -> None:
    frames = frames_of(made / "a.mp4")
    assert len(frames) == FRAMES
    assert frames[0].shape[1] > 4 * SIZE and np.abs(frames[0].astype(int) - frames[-1]).max() > 60
    assert picture(made / "a.png").shape[1] > 1000


def test_the_json_says_what_was_found_in_every_frame(made: Path) -> None:
    found = document(made / "a.json")
    assert (found["version"], found["width"], found["height"]) == (1, SIZE, SIZE)
    assert (found["transform"], found["frame_count"], found["fresh"]) == ("procrustes", FRAMES, FRAMES)
    assert found["interrupted"] is False and found["mean_iou"] > 0.4
    assert found["canvas_from_reference"][0][0] == pytest.approx(SIZE / found["reference_size"][0])
    for number, row in enumerate(found["frames"]):
        assert set(row) == ROW and row["index"] == number and row["pts_seconds"] == pytest.approx(number / 25)
        assert 0.3 < row["iou"] <= 1 and 0.3 < row["scale"] < 3 and row["held"] is False and row["search_ms"] > 0
        assert len(row["subset"]) >= 2 and set(row["subset"]) <= set(KEYPOINT_NAMES)
    assert np.mean([row["iou"] for row in found["frames"]]) == pytest.approx(found["mean_iou"])


def test_the_pictures_are_the_transforms(made: Path, reference: Path) -> None:
    names = [f"{number:03d}.png" for number in range(FRAMES)]
    assert sorted(path.name for path in (made / "pictures" / "calibrated").iterdir()) == names
    assert sorted(path.name for path in (made / "pictures" / "masks").iterdir()) == names
    image, mask = (picture(made / "pictures" / part / names[0]) for part in ("calibrated", "masks"))
    assert image.shape == (SIZE, SIZE, 3) and mask.shape == (SIZE, SIZE)
    assert (image[mask == 0] == 128).all()
    # as the documentation has it for users of OpenCV
    found = document(made / "a.json")
    row = found["frames"][0]
    a = row["scale"] * np.exp(1j * row["angle_radians"])
    whole = np.array([[a.real, -a.imag], [a.imag, a.real]]) @ np.array(found["canvas_from_reference"])
    whole[:, 2] += row["translation_pixels"]
    whole[:, 2] += whole[:, :2] @ (0.5, 0.5) - 0.5
    warped = cv2.warpAffine(picture(reference)[..., :3], whole, (found["width"], found["height"]))
    apart = np.abs(warped.astype(int) - image)[mask >= 250]
    assert len(apart) > 500 and np.median(apart) <= 3
    assert np.median(np.abs(np.roll(warped, 4, axis=1).astype(int) - image)[mask >= 250]) > 6


@pytest.mark.usefixtures("quick")
def test_masks_of_the_frames_replace_the_estimated_silhouettes(
    run: Run, made: Path, reference: Path, motion: Path, tmp_path: Path
) -> None:
    # the calibrated person as the target: the reference fits itself, where it stood
    masks, out = tmp_path / "masks", tmp_path / "a.json"
    masks.mkdir()
    with_own = ("calibrate", "-r", reference, "-m", motion, "--target-masks", masks)
    made_masks = [picture(made / "pictures" / "masks" / f"{number:03d}.png") for number in range(2)]
    cv2.imwrite(str(masks / "000.png"), made_masks[0])
    assert run(*with_own, "--json", out) == 2 and f"000.png is {SIZE}x{SIZE}, its frame" in run.err
    side = probe(motion).height
    for number, mask in enumerate(made_masks):
        resized = cv2.resize(mask, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(masks / f"{number:03d}.png"), resized)
    video, sheet = tmp_path / "a.mp4", tmp_path / "a.png"
    assert run(*with_own, "-o", video, "--sheet", sheet) == 2 and "002.png is missing" in run.err
    assert not video.exists() and not sheet.exists(), "an error on the way leaves no half of it"
    with_own += ("--max-frames", 2)
    assert run(*with_own, "--json", out, "--out-dir", tmp_path / "p") == 0, run.err
    for row, before in zip(document(out)["frames"], document(made / "a.json")["frames"][:2], strict=True):
        assert row["iou"] > 0.9 > before["iou"]
        assert row["scale"] == pytest.approx(before["scale"], rel=0.05)
        ours = picture(tmp_path / "p" / "masks" / f"{row['index']:03d}.png")
        theirs = picture(masks / f"{row['index']:03d}.png")
        assert row["iou"] == pytest.approx(mask_iou(ours, theirs), abs=2e-3)


@pytest.mark.usefixtures("quick")
def test_a_single_picture_is_one_frame_and_frames_without_a_person_are_counted(
    run: Run, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.json"
    transform = ("--transform", "affine")
    assert run("calibrate", "-r", reference, "-m", reference, "--json", out, "--size", "128x96", *transform) == 0
    (row,) = document(out)["frames"]
    assert row["iou"] > 0.9 and row["scale"] == pytest.approx(1, abs=0.05) and len(row["subset"]) > 10
    assert document(out)["transform"] == "affine"
    empty = make_video(tmp_path / "bars.mp4", frames=3)
    call = ("calibrate", "-r", reference, "-m", empty, "-o", tmp_path / "bars.mkv", "--json", out, "--overwrite")
    assert run(*call) == 0
    assert {(row["status"], row["iou"], row["search_ms"]) for row in document(out)["frames"]} == {
        ("uncalibrated", None, None)
    }
    assert document(out)["mean_iou"] is None and len(frames_of(tmp_path / "bars.mkv")) == 3
    assert "3 uncalibrated: no person found (3)" in run.err.replace("\n", " ")


BAD_INPUT = {
    "nothing to write": ((), "--out, --sheet, --json and --out-dir"),
    "no motion file": (("-m", "nowhere.mp4", "--json", "a.json"), "nowhere.mp4"),
    "no reference file": (("-r", "nowhere.png", "--json", "a.json"), "nowhere.png"),
    "no person": (("-r", "blank.png", "--json", "a.json"), "blank.png: nobody was found"),
    "no folder of masks": (("--target-masks", "nowhere", "--json", "a.json"), "nowhere is no folder"),
    "video exists": (("-o", "already.mp4"), "--overwrite"),
    "sheet exists": (("--sheet", "blank.png"), "blank.png exists"),
    "sheet is no png": (("--sheet", "a.jpg"), "NAME.png"),
    "json exists": (("--json", "there.json"), "there.json exists"),
    "json is an input": (("--json", "there.mp4", "--overwrite"), "also an input"),
    "json is a folder": (("--json", "pictures"), "is a folder"),
    "one file twice": (("--json", "a.png", "--sheet", "a.png"), "the same file"),
    "no folder for the json": (("--json", "no/where.json"), "does not exist"),
    "pictures exist": (("--out-dir", "pictures"), "000.png exists"),
    "masks would be overwritten": (
        ("--out-dir", "pictures", "--target-masks", "pictures/masks", "--overwrite"), "holds an input",
    ),
    "out-dir is a file": (("--out-dir", "blank.png"), "is no folder"),
    "no parent of out-dir": (("--out-dir", "no/where"), "does not exist"),
    "odd words for a size": (("--size", "big", "--json", "a.json"), "512x512"),
    "tiny size": (("--size", "4x4", "--json", "a.json"), "16 to 8192"),
    "no such transform": (("--transform", "warp", "--json", "a.json"), "transform"),
    "empty range": (("--start", 2, "--end", 1, "--json", "a.json"), "not after its start"),
    "codec and container": (("-o", "a.webm", "--codec", "h264"), "webm"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory: pytest.TempPathFactory, motion: Path) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    make_picture(folder / "blank.png", np.full((64, 64, 3), 90, np.uint8))
    (folder / "there.mp4").write_bytes(motion.read_bytes())
    for name in ("already.mp4", "there.json"):
        (folder / name).write_bytes(b"mine")
    (folder / "pictures" / "masks").mkdir(parents=True)
    make_picture(folder / "pictures" / "masks" / "000.png", np.full((64, 64, 3), 90, np.uint8))
    return folder


@pytest.mark.parametrize("case", BAD_INPUT)
@pytest.mark.usefixtures("quick")
def test_bad_input_is_one_line_and_leaves_nothing(
    case: str, run: Run, reference: Path, bad_inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bad_inputs)
    before = {path: path.stat().st_mtime_ns for path in bad_inputs.rglob("*") if path.is_file()}
    changes, message = BAD_INPUT[case]
    given = [] if "-r" in changes else ["-r", reference]
    given += [] if "-m" in changes else ["-m", "there.mp4"]
    assert run("calibrate", *given, *changes) == 2, run.err
    errors = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0] and "Traceback" not in run.err, run.err
    assert {path: path.stat().st_mtime_ns for path in bad_inputs.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("quick")
def test_ctrl_c_leaves_what_was_done_and_says_so(
    run: Run, reference: Path, motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = calibrate_run.write_png

    def interrupted(path: Path, image: np.ndarray) -> None:
        if path.name == "002.png":
            raise KeyboardInterrupt
        written(path, image)

    monkeypatch.setattr(calibrate_run, "write_png", interrupted)
    given = ("calibrate", "-r", reference, "-m", motion, "--out-dir", tmp_path / "p", "--max-frames", 9)
    out = tmp_path / "a.mkv"
    assert run(*given, "-o", out, "--json", tmp_path / "a.json") == 130
    assert len(frames_of(out)) == 2 and "interrupted after 2 frames" in run.err
    found = document(tmp_path / "a.json")
    assert found["interrupted"] is True and [row["index"] for row in found["frames"]] == [0, 1]
    assert found["frame_count"] == found["fresh"] == 2


def test_no_engine_is_needed() -> None:
    code = (
        "import sys, tpc_stream.commands.calibrate, tpc_stream.calibrate_run\n"
        "loaded = [name for name in sys.modules if name in ('onnxruntime', 'torch')]\n"
        "sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_official(shared: Path, out: Path, *limit: object) -> dict[str, Any]:
    folder = shared / "samples" / "tpc-official"
    code = call(
        "calibrate", "--reference", folder / "reference.png", "--motion", folder / "driving.mp4",
        "--reference-mask", folder / "reference_mask.png", "--target-masks", folder / "target_masks",
        "--json", out, *limit,
    )  # fmt: skip
    assert code == 0
    return document(out)


@pytest.mark.samples
def test_official_sample_first_frames(shared: Path, tmp_path: Path) -> None:
    """Farther away the woman fits less well: 0.53 over the first second."""
    found = check_official(shared, tmp_path / "a.json", "--max-frames", 16)
    assert found["fresh"] == 16 and found["mean_iou"] >= 0.52


@pytest.mark.slow
@pytest.mark.samples
def test_official_sample_all_frames(shared: Path, tmp_path: Path) -> None:
    found = check_official(shared, tmp_path / "a.json")
    assert found["fresh"] == 93 and found["mean_iou"] >= 0.545
