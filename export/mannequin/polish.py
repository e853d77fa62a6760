"""Train on the picture that comes out: `python -m export mannequin polish`, the last part of the training.

--size 128: the animator and its decoder together, so that the decoder knows what the animator makes.
--size 256: the animator stays as it is; the finer decoder of `enlarge` learns to draw what it makes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.mannequin import processes
from export.mannequin.autoencoder import load_autoencoder
from export.mannequin.batches import Batch, Batches, plain_batches
from export.mannequin.clip_batches import Clips, clip_batches, held_out_clips
from export.mannequin.dataset import Latents, Pictures, to_tensors
from export.mannequin.enlarge import EnlargingAutoencoder
from export.mannequin.picture_loss import ssim_map
from export.mannequin.polisher import Polisher
from export.mannequin.render import SIZE
from export.mannequin.train import add_processes, held_out_batch, settle_processes
from export.mannequin.trainer import load_animator


def scores(pictures: tuple[Tensor, Tensor], images: Tensor, mattes: Tensor) -> tuple[float, float]:
    """Mean PSNR in dB and SSIM in the person's region of decoded pictures, laid on mid grey; the region is dilated."""
    reach = images.shape[-1] // 64 * 2 + 1
    region = (functional.max_pool2d(mattes, reach, 1, reach // 2) > 0.5).float()
    laid, truth = pictures[0] * pictures[1], images * mattes
    error = (((laid - truth) ** 2).mean(1, keepdim=True) * region).sum((1, 2, 3)) / region.sum((1, 2, 3))
    alike = (ssim_map(laid, truth).mean(1, keepdim=True) * region).sum((1, 2, 3)) / region.sum((1, 2, 3))
    return float((10 * torch.log10(4.0 / error.clamp_min(1e-6))).mean()), float(alike.mean())


def held_out_scores(polisher: Polisher, batch: Batch) -> str:
    """In words: person PSNR and SSIM of people held out, by the moving averages; on mid grey."""
    assert batch.pictures is not None
    psnr, alike = scores(polisher.drawn(batch), *batch.pictures)
    return f"{psnr:.3f} dB {alike:.4f}"


def test_pictures(folder: Path, count: int = 48) -> tuple[Tensor, Tensor]:
    """Images and mattes of the aligned test pairs' targets."""
    frames: NDArray[np.uint8] = np.load(folder / "test.npz")["target"][:count]
    return to_tensors(frames)


def run(polisher: Polisher, batches: Batches, held_out: Batch, path: Path, *, minutes: float, groups: int) -> None:
    """Train until the minutes have passed, with a checkpoint every three."""
    start, saved, losses = time.monotonic(), time.monotonic(), list[float]()
    if processes.rank() == 0:
        print(f"polish 0: held-out {held_out_scores(polisher, held_out)}", flush=True)
    while (part := processes.agreed(time.monotonic() - start) / (60 * minutes)) < 1:
        losses.append(polisher.train_step(batches, groups, part))
        if processes.rank() == 0 and polisher.step % 50 == 0:
            seconds = time.monotonic() - start
            print(
                f"polish {polisher.step} {seconds:.0f}s loss {np.mean(losses):.4f} held-out "
                f"{held_out_scores(polisher, held_out)}",
                flush=True,
            )
            losses = []
        if processes.rank() == 0 and time.monotonic() - saved > 170:
            polisher.save(path)
            saved = time.monotonic()
    if processes.rank() == 0:
        polisher.save(path)
        print(f"polish done: {polisher.step} steps, held-out {held_out_scores(polisher, held_out)}", flush=True)


def polish(options: argparse.Namespace) -> None:
    """One process's whole work."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed * 1000 + processes.rank())
    folder, device = options.data, torch.device(options.device)
    animator = load_animator(folder / options.start)
    autoencoder = load_autoencoder(folder, animator.widths, checkpoint=folder / options.start)
    learning = options.size == SIZE
    batches: Batches
    if learning:
        pictures = Pictures(folder)
        batches = plain_batches(Latents(folder, pictures), pictures=pictures)
        held_out = replace(held_out_batch(folder, animator.widths), pictures=test_pictures(folder))
    else:
        batches = clip_batches(Clips(folder), autoencoder)
        held_out = held_out_clips(folder, autoencoder)
    polisher = Polisher(
        animator, autoencoder if learning else EnlargingAutoencoder(autoencoder), learn_animator=learning,
        rate=options.rate, seed=options.seed + 100 * processes.rank(), device=options.device,
    )  # fmt: skip
    run(
        polisher,
        batches,
        held_out.to(device),
        folder / options.checkpoint,
        minutes=options.minutes,
        groups=options.groups,
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin polish", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder of the rendered data")
    parser.add_argument("--start", default="animator.pt", help="trained animator in --data")
    parser.add_argument("--checkpoint", help="file in --data that is written (default: by size, see below)")
    parser.add_argument("--size", type=int, choices=(SIZE, 2 * SIZE), default=SIZE, help="pixels a side")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--groups", type=int, default=8, help="references a step, of each process; two targets each")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    add_processes(parser)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    options = parser.parse_args(argv)
    settle_processes(parser, options)
    if options.checkpoint is None:
        options.checkpoint = "animator_polished.pt" if options.size == SIZE else "decoder_256.pt"
    processes.in_processes(polish, options, processes=options.processes)
    return 0
