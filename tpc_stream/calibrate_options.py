"""Every choice of `tpc-stream calibrate`, and what it writes."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tpc_stream.errors import InputError, SinkError
from tpc_stream.frame import TransformKind
from tpc_stream.steady import SteadyConfig
from tpc_stream.writing.output_path import check_output, is_picture_sequence
from tpc_stream.writing.video_formats import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """How a reference is laid onto the frames of a video."""

    size: tuple[int, int] | None = None
    """(width, height) in pixels of the calibrated pictures, in which all transforms are too; None: the driving
    video's own, so that each calibrated picture lies on its frame pixel by pixel."""
    fit: Literal["crop", "pad"] = "pad"
    """How the reference, and with `size` the driving frames too, are fitted to another aspect."""
    transform: TransformKind = "procrustes"
    steady_tolerance: float = SteadyConfig().tolerance
    """IoU, [0, 1): so much less than the best is allowed in a frame, so that the calibrated person does not jump."""
    start_seconds: float = 0.0
    end_seconds: float | None = None
    max_frames: int | None = None
    reference_mask: str | Path | None = None
    """A picture whose bright pixels are the reference's person."""
    sam: str | Path | None = None
    """A folder that `python -m export sam` wrote: SAM cuts the reference's person out, where neither `reference_mask`
    nor the picture's alpha channel says who it is."""
    target_masks: str | Path | None = None
    """A folder of masks of the driving frames, NNN.png by frame index, instead of estimated silhouettes."""
    hold_seconds: float = 0.5
    """How long the last good calibration stands in where a frame has none."""
    min_visibility: float = 0.5
    """Keypoints less visible than this take no part in the calibration."""

    def __post_init__(self) -> None:
        if self.size is not None and (min(self.size) < 16 or max(self.size) > 8192):
            raise InputError(f"a calibrated picture has sides of 16 to 8192 pixels, got {self.size[0]}x{self.size[1]}")
        if self.start_seconds < 0:
            raise InputError(f"start_seconds must not be negative, got {self.start_seconds}")
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise InputError(f"the range ends at {self.end_seconds} s, not after its start at {self.start_seconds} s")
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"max_frames must be at least 1, got {self.max_frames}")
        if not 0 <= self.hold_seconds < math.inf:
            raise InputError(f"hold_seconds must be a number from 0 on, got {self.hold_seconds}")
        if not 0 <= self.steady_tolerance < 1:
            raise InputError(f"steady_tolerance is a share from 0 up to 1, got {self.steady_tolerance}")
        if not 0 <= self.min_visibility <= 1:
            raise InputError(f"min_visibility lies in [0, 1], got {self.min_visibility}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOutputs:
    """What is written: at least one of the four."""

    video: str | None = None
    """A video that explains every frame's calibration, or such pictures: a folder with a slash, or p/%05d.png."""
    sheet: str | None = None
    """A contact sheet of some of them, PNG."""
    json: str | None = None
    """Every frame's calibration."""
    folder: str | None = None
    """A folder for the calibrated pictures and masks: calibrated/NNN.png and masks/NNN.png, by frame index."""
    codec: Codec | None = None
    crf: int | None = None
    overwrite: bool = False

    @property
    def settled_codec(self) -> Codec:
        """The codec of the video."""
        return self.codec or ("vp9" if Path(self.video or "").suffix.lower() == ".webm" else "h264")

    @property
    def draws(self) -> bool:
        """Whether calibrated pictures are needed at all."""
        return bool(self.video or self.sheet or self.folder)

    def calibrated_path(self, index: int) -> Path:
        """Where a frame's calibrated picture goes."""
        return Path(self.folder or "") / "calibrated" / f"{index:03d}.png"

    def mask_path(self, index: int) -> Path:
        """Where a frame's calibrated mask goes."""
        return Path(self.folder or "") / "masks" / f"{index:03d}.png"

    def check(self, *, inputs: list[str | Path]) -> None:
        """Raises InputError or SinkError unless all of it can be written; before anything runs. Leaves nothing."""
        if not (self.video or self.sheet or self.json or self.folder):
            raise InputError("nothing to write: give at least one of --out, --sheet, --json and --out-dir")
        if self.video:
            check_output(self.video, overwrite=self.overwrite, inputs=inputs)
        if self.sheet and Path(self.sheet).suffix.lower() != ".png":
            raise InputError(f"--sheet is a picture NAME.png, got {self.sheet!r}")
        files = {"--sheet": self.sheet, "--json": self.json}
        named = [Path(path).resolve() for path in (self.video, *files.values()) if path]
        if len(set(named)) < len(named):
            raise InputError("--out, --sheet and --json name the same file: give each its own")
        for option, name in files.items():
            if name:
                self._check_file(Path(name), option, inputs)
        if self.folder:
            self._check_pictures(Path(self.folder), inputs)

    def _check_file(self, path: Path, option: str, inputs: list[str | Path]) -> None:
        if path.is_dir():
            raise SinkError(f"{path} is a folder: name a file in it with {option}")
        if path.exists() and any(_same(path, Path(given)) for given in inputs):
            raise SinkError(f"{path} is also an input and would be destroyed: choose another {option}")
        if path.exists() and not self.overwrite:
            raise SinkError(f"{path} exists: choose another {option}, or allow it with --overwrite")
        _check_writable(path.parent, option)

    def _check_pictures(self, folder: Path, inputs: list[str | Path]) -> None:
        if folder.exists() and not folder.is_dir():
            raise SinkError(f"{folder} is no folder: choose another --out-dir")
        for part in (self.calibrated_path(0).parent, self.mask_path(0).parent):
            if any(_same(part, Path(given)) or _same(part, Path(given).parent) for given in inputs):
                raise SinkError(f"{part} holds an input, which would be written over: choose another --out-dir")
            there = next((path for path in part.glob("*.png") if path.stem.isdigit()), None)
            if there is not None and not self.overwrite:
                raise SinkError(f"{there} exists: choose another --out-dir, or allow it with --overwrite")
        _check_writable(folder if folder.exists() else folder.absolute().parent, "--out-dir")

    @property
    def as_pictures(self) -> bool:
        """Whether the video is one PNG a frame."""
        return self.video is not None and is_picture_sequence(self.video)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and os.path.samefile(one, other)


def _check_writable(folder: Path, option: str) -> None:
    if not folder.is_dir():
        raise SinkError(f"the folder {folder} of {option} does not exist: create it first")
    try:
        with tempfile.TemporaryFile(dir=folder):  # permissions say nothing on a read-only disk, or for root
            pass
    except OSError as error:
        raise SinkError(f"cannot write into the folder {folder} of {option}: {error.strerror}") from error
