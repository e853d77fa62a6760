"""LPIPS, FID, FID-VID and FVD: with networks that the user gives by path. Without them they are not measured.

A network is an ONNX graph with one output. LPIPS: two inputs [N, 3, H, W] in [-1, 1]; distances. FID: one input
[N, 3, H, W] in [0, 1], features [N, D] (the paper's: Inception v3, pool 3). FID-VID and FVD: one input
[N, 3, T, H, W] in [0, 1], features [N, D] (the paper's: a 3D ResNet-50, and I3D). Resizing and normalising belong into
the graph. A Fréchet distance of few samples is too high; compare only runs of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tpc_stream.errors import InputError

CLIP_FRAMES = 16
"""Frames of a sample of FID-VID and FVD, as in the paper's evaluation code."""
Pictures = NDArray[np.uint8]


def network(path: Path, *, inputs: int) -> onnxruntime.InferenceSession:
    """The graph on the CPU. Raises InputError where it is not there, no graph, or takes another number of inputs."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; give an ONNX graph, or leave the option out: not measured")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common class
        raise InputError(f"{path} is no ONNX graph: {error}; export the network to ONNX") from error
    if len(session.get_inputs()) != inputs:
        raise InputError(f"{path} takes {len(session.get_inputs())} inputs, {inputs} are needed")
    return session


@dataclass(frozen=True)
class Backbones:
    """The networks that were given; None: not measured."""

    lpips: onnxruntime.InferenceSession | None = None
    fid: onnxruntime.InferenceSession | None = None
    fid_vid: onnxruntime.InferenceSession | None = None
    fvd: onnxruntime.InferenceSession | None = None

    def measure(self, found: Sequence[Pictures], truth: Sequence[Pictures]) -> dict[str, float | None]:
        """By the paper's names; None: not measured. found, truth: runs of frames [N, H, W, 3] of the same lengths."""
        return {
            "LPIPS": None if self.lpips is None else _lpips(self.lpips, found, truth),
            "FID": None if self.fid is None else _distance(self.fid, _stills(found), _stills(truth)),
            "FID-VID": None if self.fid_vid is None else _distance(self.fid_vid, _pieces(found), _pieces(truth)),
            "FVD": None if self.fvd is None else _distance(self.fvd, _pieces(found), _pieces(truth)),
        }


def frechet(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Fréchet distance of two Gaussians fitted to features [N, D]: |m - n|^2 + tr(A + B - 2 (A B)^1/2)."""
    if min(len(a), len(b)) < 2:
        raise InputError(f"a Fréchet distance takes two samples or more, got {len(a)} and {len(b)}")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    gap = a.mean(0) - b.mean(0)
    # tr (A B)^1/2 is the sum of the singular values of X^T Y / (n - 1), for centred X, Y with A = X^T X, B = Y^T Y
    x, y = ((v - v.mean(0)) / np.sqrt(len(v) - 1) for v in (a, b))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(gap @ gap + (x**2).sum() + (y**2).sum() - 2 * shared)


def _lpips(session: onnxruntime.InferenceSession, found: Sequence[Pictures], truth: Sequence[Pictures]) -> float:
    names = [i.name for i in session.get_inputs()]
    values = []
    for a, b in zip(_stills(found), _stills(truth), strict=True):
        feed = {n: x[None] * 2 - 1 for n, x in zip(names, (a, b), strict=True)}
        values.append(float(np.mean(session.run(None, feed)[0])))
    return float(np.mean(values))


def _stills(runs: Sequence[Pictures]) -> list[NDArray[np.float32]]:
    """[3, H, W] in [0, 1] each."""
    return [frame.transpose(2, 0, 1).astype(np.float32) / 255 for run in runs for frame in run]


def _pieces(runs: Sequence[Pictures]) -> list[NDArray[np.float32]]:
    """[3, T, H, W] in [0, 1]: each run's pieces of CLIP_FRAMES; what is left over is not looked at."""
    return [
        run[first : first + CLIP_FRAMES].transpose(3, 0, 1, 2).astype(np.float32) / 255
        for run in runs
        for first in range(0, len(run) - CLIP_FRAMES + 1, CLIP_FRAMES)
    ]


def _distance(
    session: onnxruntime.InferenceSession, found: list[NDArray[np.float32]], truth: list[NDArray[np.float32]]
) -> float | None:
    if len(found) < 2:
        return None  # too few for a distance, as with a single short clip
    name = session.get_inputs()[0].name
    both = [np.concatenate([session.run(None, {name: x[None]})[0] for x in part]) for part in (found, truth)]
    return frechet(*both)
