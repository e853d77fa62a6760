"""Train the mannequin's autoencoder. The loss sees pictures laid on random colours, so edges come out clean."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from export.mannequin.dataset import Pictures, as_reference, to_tensors
from export.mannequin.networks import Autoencoder, Widths


def autoencoder_loss(model: Autoencoder, images: Tensor, mattes: Tensor, *, noise: float = 0.03) -> Tensor:
    """Weighted difference of the picture laid on a random colour, of its gradients, and of the matte."""
    latents = model.encode(images, mattes).float()
    decoded, found = model.decode(latents + torch.randn_like(latents) * noise * latents.detach().std())
    decoded, found = decoded.float(), found.float()
    plain = torch.rand(len(images), 3, 1, 1, device=images.device) * 2 - 1
    near = functional.max_pool2d(mattes, 9, 1, 4)
    weight = 0.05 + near
    weight = weight / weight.mean()
    difference = decoded * found + plain * (1 - found) - (images * mattes + plain * (1 - mattes))
    slopes = ((difference[..., 1:] - difference[..., :-1]).abs() * weight[..., 1:]).mean() + (
        (difference[..., 1:, :] - difference[..., :-1, :]).abs() * weight[..., 1:, :]
    ).mean()
    matte = ((found - mattes).abs() * weight).mean()
    colour = (difference.abs() * weight).mean() + (difference**2 * weight).mean()
    return colour + 0.5 * slopes + 0.5 * matte + 1e-4 * (latents**2).mean()


def person_psnr(model: Autoencoder, frames: np.ndarray) -> float:
    """Mean PSNR in dB on mid grey, inside the mattes dilated 5x5; frames [N, S, S, 4]."""
    images, mattes = to_tensors(frames, device=model.mean.device)
    model.eval()
    with torch.no_grad(), torch.autocast(images.device.type, dtype=torch.bfloat16):
        decoded, found = model.decode(model.encode(images, mattes))
    model.train()
    region = (functional.max_pool2d(mattes, 5, 1, 2) > 0.5).float()
    error = (((decoded.float() * found.float() - images * mattes) ** 2).mean(1, keepdim=True) * region).sum((1, 2, 3))
    return float((10 * torch.log10(4.0 * region.sum((1, 2, 3)) / error.clamp_min(1e-6))).mean())


def train_autoencoder(
    folder: Path,
    *,
    widths: Widths,
    minutes: float,
    batch: int = 16,
    rate: float = 2e-3,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> None:
    """Train for that many minutes and write autoencoder.pt: the weights, with latents scaled to unit variance."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 3])
    pictures = Pictures(folder)
    model = Autoencoder(widths).to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    held_out = np.load(folder / "test.npz")["target"][:96]
    start, step, mean = time.monotonic(), 0, 0.0
    while (part := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * part)))
        frames = []
        for g in rng.integers(len(pictures), size=batch):
            group_frames, background = pictures.group(int(g))
            frame = group_frames[rng.integers(len(group_frames))]
            frames.append(as_reference(rng, frame, background) if rng.random() < 0.2 else frame)
        images, mattes = to_tensors(np.stack(frames), device=device)
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            loss = autoencoder_loss(model, images.to(memory_format=torch.channels_last), mattes)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        step += 1
        if step % 200 == 0:
            seconds = time.monotonic() - start
            print(
                f"autoencoder {step} {seconds:.0f}s loss {mean:.4f} "
                f"held-out person {person_psnr(model, held_out):.2f} dB "
                f"{step * batch / seconds:.0f} pictures/s",
                flush=True,
            )
    frames = np.concatenate([pictures.group(int(g))[0] for g in rng.integers(len(pictures), size=40)])
    with torch.no_grad():
        latents = model.encode(*to_tensors(frames, device=device))
        model.mean.copy_(latents.mean((0, 2, 3), keepdim=True))
        model.deviation.copy_(latents.std((0, 2, 3), keepdim=True))
    figure = person_psnr(model, held_out)
    print(f"autoencoder done: {step} steps, held-out person {figure:.2f} dB", flush=True)
    torch.save({"weights": model.state_dict(), "person_psnr_db": figure, "steps": step}, folder / "autoencoder.pt")


def load_autoencoder(folder: Path, widths: Widths, *, checkpoint: Path | None = None) -> Autoencoder:
    """In evaluation mode: what `train_autoencoder` wrote, or what came with an animator's polished checkpoint."""
    polished = None if checkpoint is None else torch.load(checkpoint, map_location="cpu").get("autoencoder")
    model = Autoencoder(widths)
    model.load_state_dict(polished or torch.load(folder / "autoencoder.pt", map_location="cpu")["weights"])
    return model.eval().to(memory_format=torch.channels_last)
