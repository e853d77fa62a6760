"""Measure a bundle on held-out people, without and with calibration: `python -m export mannequin evaluate`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.mannequin.animator import LIMBS
from export.mannequin.render import CONDITIONS, SIZE
from tpc_stream.plate import background_plate
from tpc_stream.procrustes import search
from tpc_stream.warp import Warper

Pictures = NDArray[np.uint8]


class BundleRunner:
    """The five graphs in ONNX Runtime, on float arrays."""

    def __init__(self, folder: Path, *, threads: int = 2) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {
            name: onnxruntime.InferenceSession(
                str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name in ("encode", "reference", "pose", "denoise", "decode")
        }

    def run(self, graph: str, **inputs: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """All outputs of a graph, in its order."""
        return list(self._sessions[graph].run(None, inputs))

    def encode(self, frames: Pictures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latents and mattes [N, 1, S, S] of pictures with masks [N, S, S, 4]."""
        x = frames.astype(np.float32).transpose(0, 3, 1, 2)
        mattes = x[:, 3:] / 255.0
        return self.run("encode", images=(x[:, :3] / 127.5 - 1.0) * mattes, mattes=mattes)[0], mattes

    def animate(
        self, reference: Pictures, keypoints: NDArray[np.float32], calibrated: Pictures | None, *, steps: int, seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Picture [S, S, 3] in [0, 255] and matte [S, S] of one pose [17, 3]; reference and calibrated: [S, S, 4]."""
        banks = self.run("reference", **dict(zip(("latents", "mattes"), self.encode(reference[None]), strict=True)))
        others = [b[:, :0] for b in banks]
        if calibrated is not None:
            others = self.run(
                "reference", **dict(zip(("latents", "mattes"), self.encode(calibrated[None]), strict=True))
            )
        pose = self.run("pose", keypoints=keypoints[None])[0]
        feed = {f"{n}_{k:02}": b for n, bs in (("reference", banks), ("calibrated", others)) for k, b in enumerate(bs)}
        channels = self._sessions["decode"].get_inputs()[0].shape[1]
        z = np.random.default_rng(seed).standard_normal((1, channels, SIZE // 4, SIZE // 4)).astype(np.float32)
        levels = np.linspace(1.0, 0.0, steps + 1)
        for t, following in pairwise(levels):
            clean = self.run(
                "denoise", latents=z, timesteps=np.array([t], np.float32), pose_features=pose,
                calibrated_index=np.zeros(1, np.int64), **feed,
            )[0]  # fmt: skip
            noise = (z - (1 - t) * clean) / t
            z = ((1 - following) * clean + following * noise).astype(np.float32)
        images, mattes = self.run("decode", latents=z)
        return (images[0].transpose(1, 2, 0) + 1.0) * 127.5, mattes[0, 0]


@dataclass(frozen=True, slots=True)
class Figure:
    """Means over the test pairs, with the half width of their 95 % intervals."""

    psnr_db: float
    psnr_interval: float
    ssim: float
    ssim_interval: float

    @classmethod
    def of(cls, values: list[tuple[float, float]]) -> Figure:
        """From (PSNR, SSIM) of each pair."""
        a = np.array(values)
        mean, half = a.mean(0), 1.96 * a.std(0, ddof=1) / np.sqrt(len(a))
        return cls(*(round(float(v), 4) for v in (mean[0], half[0], mean[1], half[1])))


def on_plate(frame: Pictures, plate: Pictures) -> NDArray[np.float32]:
    """[S, S, 3] a picture with a mask laid on a background."""
    a = frame[..., 3:].astype(np.float32) / 255.0
    return frame[..., :3] * a + plate * (1.0 - a)


def person_score(found: NDArray[np.float32], truth: NDArray[np.float32], matte: Pictures) -> tuple[float, float]:
    """PSNR in dB and SSIM (of the grey picture), inside the person's matte dilated 5x5."""
    from skimage.metrics import structural_similarity

    region = cv2.dilate((matte > 127).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    a, b = (x.clip(0, 255).round().astype(np.uint8) for x in (found, truth))
    error = ((a.astype(np.float64) - b) ** 2)[region].mean()
    grey = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (a, b)]
    ssim = structural_similarity(*grey, full=True)[1]
    return float(10 * np.log10(65025 / max(error, 1e-3))), float(ssim[region].mean())


def with_visibility(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., 17, 3] keypoints (x / width, y / height), visible where they lie in the picture."""
    seen = ((points > 0) & (points < 1)).all(-1, keepdims=True)
    return np.concatenate([points, seen], -1).astype(np.float32)


def calibrate(
    reference: Pictures, points: NDArray[np.float32], target: Pictures, pose: NDArray[np.float32]
) -> Pictures | None:
    """[S, S, 4] the reference under the best transform of tpc_stream's search; None where there is none."""
    a, b = (with_visibility(p) for p in (points, pose))
    found = search(
        a[:, :2] * SIZE, a[:, 2], np.ascontiguousarray(reference[..., 3]), b[:, :2] * SIZE, b[:, 2],
        np.ascontiguousarray(target[..., 3]),
    )  # fmt: skip
    if found is None:
        return None
    return Warper.of(reference, (0, 0, 0, 0)).warp(found.transform, width=SIZE, height=SIZE)


def skeleton(pose: NDArray[np.float32]) -> Pictures:
    """[S, S, 3] a drawing of keypoints [17, 2]."""
    canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
    for k, (a, b) in enumerate(LIMBS):
        hue = cv2.cvtColor(np.array([[[k * 10, 255, 255]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        ends = [tuple(int(v) for v in np.clip(pose[i] * SIZE, -500, 500)) for i in (a, b)]
        cv2.line(canvas, *ends, tuple(int(v) for v in hue), 2, cv2.LINE_AA)
    return canvas


def evaluate(
    runner: BundleRunner, test: dict[str, NDArray[np.generic]], *, pairs: int, steps: int, conditions: tuple[str, ...]
) -> tuple[dict[str, Figure], Pictures]:
    """Figures by name, "aligned | without" and so on, and a contact sheet of some pairs."""
    scores: dict[str, list[tuple[float, float]]] = {}
    rows: list[Pictures] = []
    for i in range(pairs):
        target, pose, background = test["target"][i], test["target_keypoints"][i], test["backgrounds"][i]
        truth = on_plate(target, background)
        latents, _ = runner.encode(target[None])
        image, matte = (a[0] for a in runner.run("decode", latents=latents))
        bound = (image.transpose(1, 2, 0) + 1) * 127.5 * matte[0][..., None] + background * (1 - matte[0][..., None])
        scores.setdefault("autoencoder", []).append(person_score(bound, truth, target[..., 3]))
        for k, (name, _, _) in enumerate(CONDITIONS):
            if name not in conditions:
                continue
            reference = test["references"][i, k].copy()
            whole = on_plate(reference, background)
            reference[..., :3] = whole.round()
            plate = background_plate(np.ascontiguousarray(reference[..., :3]), np.ascontiguousarray(reference[..., 3]))
            laid = calibrate(reference, test["reference_keypoints"][i, k], target, pose)
            shown = [whole, skeleton(pose), truth]
            for label, extra in (("without", None), ("with", laid)):
                image, matte = runner.animate(reference, with_visibility(pose), extra, steps=steps, seed=i)
                result = image * matte[..., None] + plate * (1 - matte[..., None])
                scores.setdefault(f"{name} | {label}", []).append(person_score(result, truth, target[..., 3]))
                shown.append(result)
            scores.setdefault(f"{name} | copy", []).append(person_score(whole, truth, target[..., 3]))
            shown.append(on_plate(laid, np.full_like(plate, 127)) if laid is not None else np.zeros_like(plate))
            if len(rows) < len(CONDITIONS) and k == i % len(CONDITIONS):
                rows.append(np.concatenate(shown, 1).clip(0, 255).astype(np.uint8))
    return {name: Figure.of(values) for name, values in scores.items()}, np.concatenate(rows) if rows else np.zeros(
        (1, 1, 3), np.uint8
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder with test.npz")
    parser.add_argument("--bundle", type=Path, default=Path("engines/mannequin"))
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--conditions", nargs="*", default=[c[0] for c in CONDITIONS])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--sheet", type=Path, help="write pictures here: reference, pose, truth, without, with, calibrated"
    )
    options = parser.parse_args(argv)
    runner, test = BundleRunner(options.bundle, threads=options.threads), dict(np.load(options.data / "test.npz"))
    figures, sheet = evaluate(
        runner, test, pairs=options.pairs, steps=options.steps, conditions=tuple(options.conditions)
    )
    for name, figure in figures.items():
        print(
            f"{name:24} {figure.psnr_db:6.2f} +- {figure.psnr_interval:.2f} dB  "
            f"SSIM {figure.ssim:.3f} +- {figure.ssim_interval:.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps({k: asdict(v) for k, v in figures.items()}, indent=1) + "\n")
    if options.sheet:
        cv2.imwrite(str(options.sheet), sheet[..., ::-1])
    return 0
