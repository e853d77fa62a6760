"""Test clips of the user's own videos: the first frame is the reference, the rest is motion and truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from bench.quality.sets import Case, Sizes, TestClip, box, box_iou, kind_of
from tpc_stream.calibrate import calibrate
from tpc_stream.errors import InputError
from tpc_stream.fit import fit_frames
from tpc_stream.portrait import prepare_portrait
from tpc_stream.pose import PoseEstimator, estimate_poses
from tpc_stream.source import read_frames

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


def find_videos(folder: Path) -> list[Path]:
    """By name. Raises InputError where there are none."""
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no videos ({', '.join(SUFFIXES)})")
    return found


def video_clips(folder: Path, sizes: Sizes, *, max_frames: int) -> Iterator[TestClip]:
    """One a video; a frame is aligned or not by the turn that calibration finds and by the silhouettes' boxes."""
    width, height = sizes.canvas
    for path in find_videos(folder):
        frames = list(fit_frames(read_frames(str(path), max_frames=max_frames + 1), width=width, height=height))
        if len(frames) < 3:
            raise InputError(f"{path} has {len(frames)} frames; 3 are the least: a reference and two that follow")
        with PoseEstimator() as estimator:
            portrait = prepare_portrait(
                frames[0].image, width=width, height=height, name=path.name, estimator=estimator
            )
        later = [type(f)(k, f.pts_seconds, f.image, f.captured_seconds) for k, f in enumerate(frames[1:])]
        posed = tuple(estimate_poses(later))
        nobody = np.zeros((height, width), np.uint8)
        masks = [nobody if p.body is None else p.body.silhouette for p in posed]
        own = box(portrait.mask)
        turns = [frame.calibration.transform.angle_radians for frame in calibrate(posed, portrait)]
        kinds = tuple(kind_of(turn, box_iou(own, box(mask))) for turn, mask in zip(turns, masks, strict=True))
        yield TestClip(
            path.stem, posed, np.stack([sizes.shown(f.image) for f in later]),
            np.stack([cv2.resize(m, sizes.output, interpolation=cv2.INTER_AREA) for m in masks]).astype(np.uint8),
            None, (Case("video", portrait, kinds),),
        )  # fmt: skip
