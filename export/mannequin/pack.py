"""Carry training data to another machine as compressed pictures: `python -m export mannequin pack --out DIR`.

DIR then holds as many groups as fit, the autoencoder and the people held out; `train --data DIR` unpacks it there.
"""

from __future__ import annotations

import argparse
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from export.mannequin.dataset import Pictures
from export.mannequin.render import GROUP, SIZE

SHARD = 400
"""Groups of a file."""
COLUMNS = 4
"""Pictures beside each other in the sheet of a group."""
BACKGROUND_QUALITY = 40
"""Of WebP: backgrounds only show through where a mask errs."""
HELD_OUT = 96
"""Test pairs that training looks at."""


def group_sheet(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[2 S, 4 S, 4] a group's frames [8, S, S, 4], mid grey where nobody is: it costs least and bleeds least."""
    shown = frames.copy()
    shown[frames[..., 3] == 0, :3] = 127
    rows = shown.reshape(-1, COLUMNS, *frames.shape[1:])
    return np.ascontiguousarray(rows.transpose(0, 2, 1, 3, 4).reshape(-1, COLUMNS * frames.shape[2], 4))


def group_frames(sheet: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The frames of `group_sheet`."""
    tiles = sheet.reshape(-1, size, COLUMNS, size, 4).transpose(0, 2, 1, 3, 4).reshape(-1, size, size, 4)
    return np.ascontiguousarray(tiles)


def _encoded(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    order = [2, 1, 0, 3][: picture.shape[2]]
    done, data = cv2.imencode(".webp", picture[..., order], [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise ValueError("this OpenCV writes no WebP; install one that does, such as opencv-contrib-python")
    return np.asarray(data, np.uint8).reshape(-1)


def _decoded(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"{len(data)} bytes are no picture: the pack is damaged, make or copy it again")
    return np.ascontiguousarray(picture[..., [2, 1, 0, 3][: picture.shape[2]]])


def pack(folder: Path, out: Path, *, quality: int, megabytes: float, start: Path | None) -> int:
    """Write shards of groups until everything together reaches `megabytes` (of 1e6 bytes); returns how many groups.

    start: a checkpoint to go on from; its moving average is packed, in half precision.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures, test = Pictures(folder), np.load(folder / "test.npz")
    np.savez_compressed(
        out / "test.npz", target=test["target"][:HELD_OUT], target_keypoints=test["target_keypoints"][:HELD_OUT],
        references=test["references"][:HELD_OUT, :1],
    )  # fmt: skip
    if (folder / "autoencoder.pt").exists():
        shutil.copyfile(folder / "autoencoder.pt", out / "autoencoder.pt")
    if start is not None:
        state = torch.load(start, map_location="cpu")
        average = {k: v.half() if v.is_floating_point() else v for k, v in state["average"].items()}
        torch.save({"average": average, "widths": state["widths"], "step": state["step"]}, out / "start.pt")
    left = megabytes * 1e6 - sum(f.stat().st_size for f in out.iterdir() if not f.name.startswith("groups_"))
    g, number = 0, 0
    while g < len(pictures) and left > 0:
        pieces: list[NDArray[np.uint8]] = []
        first = g
        while g < len(pictures) and g - first < SHARD:
            frames, background = pictures.group(g)
            made = [_encoded(group_sheet(np.asarray(frames)), quality), _encoded(background, BACKGROUND_QUALITY)]
            points = GROUP * 17 * 2 * np.dtype(np.float16).itemsize
            left -= sum(len(data) for data in made) + points + 16
            if left <= 0:
                break
            pieces += made
            g += 1
        if g > first:
            np.savez(
                out / f"groups_{number:03}.npz", data=np.concatenate(pieces),
                ends=np.cumsum([len(p) for p in pieces]), keypoints=pictures.keypoints[first:g].astype(np.float16),
            )  # fmt: skip
        number += 1
    return g


def unpack(folder: Path, *, threads: int = 8) -> int:
    """Make what `render` makes of the shards in a folder, once; returns the number of groups, 0 without shards."""
    shards = sorted(folder.glob("groups_*.npz"))
    if not shards or (folder / "frames_0.npy").exists():
        return 0
    keypoints = np.concatenate([np.load(shard)["keypoints"] for shard in shards]).astype(np.float32)
    count = len(keypoints)

    def array(name: str, *shape: int) -> NDArray[np.uint8]:
        made = np.lib.format.open_memmap(folder / f"{name}.tmp.npy", "w+", np.uint8, (count, *shape))
        return made

    frames, backgrounds = array("frames", GROUP, SIZE, SIZE, 4), array("backgrounds", SIZE, SIZE, 3)
    g = 0
    for shard in shards:
        held = np.load(shard)
        data, ends = held["data"], held["ends"]
        pieces = np.split(data, ends[:-1])
        with ThreadPoolExecutor(threads) as pool:
            for k, picture in enumerate(pool.map(_decoded, pieces)):
                if k % 2:
                    backgrounds[g + k // 2] = picture
                else:
                    frames[g + k // 2] = group_frames(picture, SIZE)
        g += len(pieces) // 2
    np.save(folder / "keypoints_0.npy", keypoints)
    (folder / "backgrounds.tmp.npy").rename(folder / "backgrounds_0.npy")
    (folder / "frames.tmp.npy").rename(folder / "frames_0.npy")  # last: it says that all is there
    print(f"unpacked {count} groups", flush=True)
    return count


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin pack", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder of the rendered data")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--quality", type=int, default=60, help="of WebP, 1 to 100")
    parser.add_argument("--megabytes", type=float, default=64.0, help="of all files together, at most")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from, packed as start.pt")
    options = parser.parse_args(argv)
    groups = pack(options.data, options.out, quality=options.quality, megabytes=options.megabytes, start=options.start)
    weight = sum(f.stat().st_size for f in options.out.iterdir()) / 1e6
    print(f"{options.out}: {groups} groups of {GROUP} frames, {weight:.1f} MB")
    return 0
