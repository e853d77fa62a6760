"""`python -m bench photographs --samples DIR`: a bundle on real pictures and videos, as one contact sheet.

DIR/references holds pictures of people, DIR/videos motions. Every picture makes every motion; shown is one frame of
each, the middle one, so that nothing is chosen by its looks. There is no truth here: the sheet is for looking at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.quality.videos import SUFFIXES
from tpc_stream.errors import InputError, PortraitError, TpcStreamError
from tpc_stream.fit import fit_frames
from tpc_stream.frame import AnimatedFrame, Frame, Portrait
from tpc_stream.options import AnimateOptions
from tpc_stream.pipeline import Animator
from tpc_stream.source import read_frames

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
BEFORE = 7
"""Frames that are run before the one that is shown: what is held over or steadied comes from them."""
TILE, CAPTION = 120, 14
"""Pixels of a picture in the sheet, and of the line above it."""
Pictures = NDArray[np.uint8]


def middle(video: Path, *, canvas: tuple[int, int]) -> list[Frame]:
    """The frames that lead to a video's middle one, with it, laid onto the canvas and counted from 0."""
    frames = list(fit_frames(read_frames(str(video)), width=canvas[0], height=canvas[1]))
    last = len(frames) // 2
    kept = frames[max(last - BEFORE, 0) : last + 1]
    return [replace(frame, index=k) for k, frame in enumerate(kept)]


def caption(picture: Pictures, words: str, *, side: int = TILE) -> Pictures:
    """[side + CAPTION, side, 3] the picture as a tile with words above it, on white."""
    tile = np.full((side + CAPTION, side, 3), 255, np.uint8)
    shrinks = picture.shape[0] > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    tile[CAPTION:, :] = cv2.resize(picture, (side, side), interpolation=method)
    cv2.putText(tile, words, (2, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (40, 40, 40), 1, cv2.LINE_AA)
    return tile


def told(made: AnimatedFrame) -> str:
    """How the reference was laid onto the frame."""
    found = made.source.calibration
    turn = np.degrees(found.transform.angle_radians)
    return f"{found.status}, turned {turn:+.0f} degrees, scale {found.transform.scale:.2f}, IoU {found.iou:.2f}"


def sheet_row(
    portrait: Portrait, motions: dict[str, list[Frame]], animators: Sequence[Animator], *, name: str, console: Console
) -> list[Pictures]:
    """A reference, then for each motion its frame made without and with calibration."""
    tiles = [caption(portrait.image, name)]
    for motion, frames in motions.items():
        for animator, words in zip(animators, ("no TPC", "TPC"), strict=True):
            animator.portrait = portrait
            *_, last = animator.animate(frames)
            tiles.append(caption(last.image, words))
        console.print(f"{name}, {motion}: {told(last)}", highlight=False)
    return tiles


def files(folder: Path, more: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """Those of a folder by name, then `more`. Raises InputError where there are none."""
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in suffixes) + list(more)
    if not found:
        raise InputError(f"{folder} holds none of {', '.join(suffixes)}")
    return found


def main(argv: list[str]) -> int:
    """0, or 2 with one line where an input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench photographs", description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=Path, required=True, help="a folder with references/ and videos/")
    parser.add_argument("--reference", type=Path, action="append", default=[], help="one more picture")
    parser.add_argument("--video", type=Path, action="append", default=[], help="one more motion")
    parser.add_argument("--bundle", default="mannequin")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/quality/photographs.jpg"))
    parser.add_argument("--quality", type=int, default=85, help="of the JPEG")
    choices = parser.parse_args(argv)
    options = AnimateOptions(bundle=choices.bundle, threads=choices.threads, steps=choices.steps)
    console = Console(soft_wrap=True)
    try:
        with Animator(replace(options, tpc=False)) as off, Animator(options) as on:
            videos = files(choices.samples / "videos", choices.video, SUFFIXES)
            motions = {path.stem: middle(path, canvas=on.plan.canvas) for path in videos}
            blank = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
            rows = [[blank]]
            for name, frames in motions.items():
                rows[0] += [caption(frames[-1].image, name), blank]
            for path in files(choices.samples / "references", choices.reference, PICTURES):
                try:
                    portrait = on.set_reference(path)
                except PortraitError as error:
                    console.print(f"{path.stem}: {error}", highlight=False)
                    continue
                rows.append(sheet_row(portrait, motions, (off, on), name=path.stem, console=console))
    except TpcStreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sheet = np.concatenate([np.concatenate(row, 1) for row in rows], 0)
    choices.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(choices.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, choices.quality])
    console.print(f"{choices.out}: {choices.out.stat().st_size / 1e3:.0f} kB", highlight=False)
    return 0
