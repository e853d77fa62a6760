"""Train the layers through which frames see each other: `python -m export mannequin train-temporal`.

All other weights stay as they are, so that a new animator needs only this part anew; it takes minutes.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from export.mannequin.animator import Animator
from export.mannequin.autoencoder import load_autoencoder
from export.mannequin.clip_batches import Clips
from export.mannequin.clip_latents import (
    WindowBatches,
    Windows,
    clip_windows,
    held_out_windows,
    jittered,
    unsteady_keypoints,
    write_clip_latents,
)
from export.mannequin.temporal_trainer import TemporalTrainer, held_out_errors
from export.mannequin.trainer import load_animator


def in_words(model: Animator, held_out: dict[str, Windows]) -> str:
    """Errors of the person and of the change from frame to frame, by how the keypoints shake."""
    return ", ".join(f"{name} {held_out_errors(model, batch)}" for name, batch in held_out.items())


def run(
    trainer: TemporalTrainer,
    batches: WindowBatches,
    held_out: dict[str, Windows],
    checkpoint: Path,
    *,
    minutes: float,
    windows: int,
) -> None:
    """Train until `minutes` of training time have passed, with a checkpoint every three."""
    before, start, saved, losses = trainer.seconds, time.monotonic(), time.monotonic(), []
    looked = 0.0  # seconds spent on people held out: no training
    first = trainer.step
    while True:
        trainer.seconds = before + time.monotonic() - start - looked
        part = trainer.seconds / (60 * minutes)
        if part >= 1:
            break
        losses.append(trainer.train_step(batches, windows, part))
        if trainer.step % 200 == 0:
            rate = (trainer.seconds - before) / (trainer.step - first)
            began = time.monotonic()
            print(
                f"temporal {trainer.step} {trainer.seconds:.0f}s loss {np.mean(losses):.4f} "
                f"{in_words(trainer.average, held_out)}, {rate:.2f} s a step",
                flush=True,
            )
            looked += time.monotonic() - began
            losses = []
        if time.monotonic() - saved > 170:
            trainer.save(checkpoint)
            saved = time.monotonic()
    trainer.save(checkpoint)
    print(f"temporal done: {trainer.step} steps, {in_words(trainer.average, held_out)}", flush=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin train-temporal", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".mannequin"), help="folder of the rendered clips")
    parser.add_argument("--start", default="animator.pt", help="file in --data: the animator that gets the layers")
    parser.add_argument("--checkpoint", default="animator_temporal.pt", help="file in --data to save to")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, all runs together")
    parser.add_argument("--windows", type=int, default=2, help="windows of eight frames a step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoint instead of starting anew")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    folder = options.data
    start = load_animator(folder / options.start)
    clips, autoencoder = Clips(folder), load_autoencoder(folder, start.widths)
    if not (folder / "clip_latents.npy").exists():
        write_clip_latents(clips, autoencoder, folder, seed=options.seed)
    rng = np.random.default_rng(options.seed)
    held_out = {
        name: held_out_windows(folder, autoencoder, seen)
        for name, seen in (
            ("true", jittered(rng, 0.0)),
            ("0.6 %", jittered(rng, 0.006)),
            ("unsteady", partial(unsteady_keypoints, rng)),
        )
    }
    trainer = TemporalTrainer(start, rate=options.rate, seed=options.seed)
    if options.resume:
        trainer.resume(folder / options.checkpoint)
    print(f"without temporal layers: {in_words(start, held_out)} (person / change)", flush=True)
    run(
        trainer, clip_windows(folder, clips), held_out, folder / options.checkpoint,
        minutes=options.minutes, windows=options.windows,
    )  # fmt: skip
    return 0
