"""Train the mannequin: `python -m export mannequin train`. Autoencoder, then latents, then the animator.

Every part leaves a file and is skipped if its file is there; the animator resumes from its last checkpoint. A folder
that `python -m export mannequin pack` made is unpacked first: that is how a machine with a GPU gets the data.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.mannequin import processes
from export.mannequin.autoencoder import load_autoencoder, train_autoencoder
from export.mannequin.batches import TARGETS, Batch, Batches, calibrated_batches, plain_batches
from export.mannequin.dataset import Latents, Pictures, to_tensors, write_latents
from export.mannequin.networks import Widths
from export.mannequin.pack import unpack
from export.mannequin.trainer import REFINE, Trainer, held_out_errors


def run(trainer: Trainer, batches: Batches, held_out: Batch, checkpoint: Path, *, minutes: float, groups: int) -> None:
    """Train until `minutes` of training time have passed, with a checkpoint every three."""
    before, start, losses, saved = trainer.seconds, time.monotonic(), [], time.monotonic()
    first, leads = trainer.step, processes.rank() == 0
    while True:
        trainer.seconds = before + processes.agreed(time.monotonic() - start)
        part = trainer.seconds / (60 * minutes)
        if part >= 1:
            break
        losses.append(trainer.train_step(batches, groups, part))
        if leads and (trainer.step % 200 == 0 or trainer.step == 20):
            rate = (trainer.step - first) * groups * TARGETS * processes.count() / (time.monotonic() - start)
            print(
                f"animator {trainer.step} {trainer.seconds:.0f}s loss {np.mean(losses):.4f} held-out "
                f"{held_out_errors(trainer.average, held_out)} {rate:.1f} samples/s",
                flush=True,
            )
            losses = []
        if leads and time.monotonic() - saved > 170:
            trainer.save(checkpoint)
            saved = time.monotonic()
    if leads:
        trainer.save(checkpoint)
        print(f"animator done: {trainer.step} steps, held-out {held_out_errors(trainer.average, held_out)}", flush=True)


def held_out_batch(folder: Path, widths: Widths, count: int = 48) -> Batch:
    """Aligned test pairs."""
    test, autoencoder = np.load(folder / "test.npz"), load_autoencoder(folder, widths)

    def encode(frames: np.ndarray) -> tuple[Tensor, Tensor]:
        images, mattes = to_tensors(frames)
        with torch.no_grad():
            return autoencoder.encode(images, mattes).float(), torch.nn.functional.avg_pool2d(mattes, 4)

    points = test["target_keypoints"][:count]
    seen = ((points > 0) & (points < 1)).all(-1, keepdims=True)
    keypoints = torch.from_numpy(np.concatenate([points, seen], -1).astype(np.float32))
    targets, mattes = encode(test["target"][:count])
    return Batch(targets, mattes, keypoints, encode(test["references"][:count, 0]))


def add_processes(parser: argparse.ArgumentParser) -> None:
    """--threads and --processes."""
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument(
        "--processes", type=int, help="that train together, each with --groups of its own (default: one a core)"
    )


def settle_processes(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """One process for each core of a CPU, one for a GPU, where nothing was said; several on a GPU are refused."""
    cpu = torch.device(options.device).type == "cpu"
    if options.processes is None:
        options.processes = len(os.sched_getaffinity(0)) if cpu else 1
    if options.processes > 1 and not cpu:
        parser.error(f"--processes {options.processes} is for a CPU; a GPU takes one, with larger --groups")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin train", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder of the rendered data")
    parser.add_argument("--autoencoder-minutes", type=float, default=12.0)
    parser.add_argument("--minutes", type=float, default=80.0, help="of training the animator, all runs together")
    parser.add_argument("--groups", type=int, default=6, help="references a step; each has two targets")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument(
        "--refine", type=float, default=REFINE, metavar="SHARE",
        help=f"of the samples that go on from the model's own picture (default {REFINE}); 0: all from pure noise",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--seed", type=int, default=0)
    add_processes(parser)
    parser.add_argument("--start", type=Path, help="begin with the weights of this checkpoint, with a new schedule")
    parser.add_argument("--checkpoint", default="animator.pt", help="file in --data that the animator is saved to")
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoint instead of starting anew")
    parser.add_argument(
        "--calibrated", action="store_true",
        help="a second run with calibrated references present: from animator.pt to animator_calibrated.pt",
    )  # fmt: skip
    options = parser.parse_args(argv)
    settle_processes(parser, options)
    device = torch.device(options.device)
    torch.set_num_threads(options.threads * options.processes)
    folder, widths = options.data, Widths()
    unpack(folder)
    if not (folder / "autoencoder.pt").exists():
        train_autoencoder(folder, widths=widths, minutes=options.autoencoder_minutes, seed=options.seed, device=device)
    if not (folder / "latents.npy").exists():
        write_latents(Pictures(folder), load_autoencoder(folder, widths).to(device), folder, seed=options.seed)
    processes.in_processes(train_animator, options, processes=options.processes)
    return 0


def train_animator(options: argparse.Namespace) -> None:
    """One process's whole work, once the autoencoder and the latents are there."""
    torch.set_num_threads(options.threads)
    folder, widths, device = options.data, Widths(), torch.device(options.device)
    pictures, autoencoder = Pictures(folder), load_autoencoder(folder, widths).to(device)
    data, held_out = Latents(folder, pictures), held_out_batch(folder, widths).to(device)
    trainer = Trainer(widths, rate=options.rate, seed=options.seed, refine=options.refine, device=device)
    checkpoint, batches = folder / options.checkpoint, plain_batches(data)
    if options.calibrated:
        trainer.resume(folder / "animator.pt", weights_only=True)
        checkpoint, batches = folder / "animator_calibrated.pt", calibrated_batches(pictures, data, autoencoder)
    elif options.resume:
        trainer.resume(checkpoint)
    elif options.start is not None:
        trainer.resume(options.start, weights_only=True)
    trainer.draw_apart(processes.rank())
    run(trainer, batches, held_out, checkpoint, minutes=options.minutes, groups=options.groups)
