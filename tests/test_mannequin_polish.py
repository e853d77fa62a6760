"""The last part of the mannequin's training: pictures against pictures, the finer decoder, several processes."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.nn import functional

from export.mannequin import processes
from export.mannequin.animator import Animator
from export.mannequin.autoencoder import load_autoencoder
from export.mannequin.batches import Batch
from export.mannequin.clip_batches import Clips, clip_batches, held_out_clips, small
from export.mannequin.enlarge import EnlargingAutoencoder, halved, load_enlarging
from export.mannequin.networks import Autoencoder, Widths
from export.mannequin.picture_loss import picture_loss, ssim_map
from export.mannequin.polish import scores
from export.mannequin.polisher import Polisher
from export.mannequin.train import add_processes, settle_processes
from export.mannequin.trainer import load_animator

TINY = Widths(latent_channels=4, autoencoder=(8, 8), levels=(8, 8, 16), time=8, guider=8, head=8, fine_tokens=10)
SIDE = 32


@pytest.fixture
def autoencoder() -> Autoencoder:
    torch.manual_seed(4)
    return Autoencoder(TINY)


def pictures(count: int, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images in [-1, 1] and soft round mattes."""
    generator = torch.Generator().manual_seed(6)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    matte = ((0.7 - (x**2 + y**2).sqrt()) * 8 + 0.5).clamp(0, 1).expand(count, 1, side, side)
    return functional.interpolate(coarse, (side, side), mode="bilinear"), matte.contiguous()


def batch(autoencoder: Autoencoder) -> Batch:
    images, mattes = pictures(4)
    with torch.no_grad():
        latents = autoencoder.encode(images, mattes)
    cells = functional.avg_pool2d(mattes, 4)
    keypoints = torch.rand(4, 17, 3, generator=torch.Generator().manual_seed(2))
    return Batch(latents, cells, keypoints, (latents[::2], cells[::2]), pictures=(images, mattes))


def test_ssim_is_that_of_scikit_image() -> None:
    a, b = pictures(1)[0][0], pictures(2)[0][1]
    reference = structural_similarity(
        a.numpy(), b.numpy(), channel_axis=0, data_range=2.0, gaussian_weights=True, use_sample_covariance=False,
        full=True,
    )[1]  # fmt: skip
    found = ssim_map(a[None], b[None])[0].numpy()
    inside = (slice(None), slice(5, -5), slice(5, -5))
    assert np.abs(found[inside] - reference[inside]).max() < 1e-4
    assert ssim_map(a[None], a[None]).min() > 1 - 1e-5
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as in training
        assert np.array_equal(ssim_map(a[None], b[None])[0].numpy(), found)


def test_picture_loss_is_least_for_the_truth_and_looks_at_the_person() -> None:
    images, mattes = pictures(2)

    def loss(decoded: torch.Tensor, found: torch.Tensor) -> float:
        return float(picture_loss(decoded, found, images, mattes, generator=torch.Generator().manual_seed(0)))

    right = loss(images, mattes)
    assert right < loss(images + 0.1, mattes) < loss(images + 0.3, mattes)
    assert right < loss(images, (mattes + 0.2).clamp(0, 1))
    assert loss(images + 0.5 * (mattes == 0), mattes) == pytest.approx(right)  # what no matte covers is never seen


def test_scores_know_a_decibel() -> None:
    images, mattes = pictures(2)
    psnr, alike = scores((images, mattes), images, mattes)
    assert psnr == pytest.approx(10 * np.log10(4e6), abs=0.01) and alike > 0.9999
    flat = mattes.new_ones(mattes.shape)
    assert scores((images + 0.2, flat), images, flat)[0] == pytest.approx(20.0, abs=0.01)


def test_halved_colours_count_by_their_mattes() -> None:
    images, mattes = torch.full((1, 3, 2, 2), -1.0), torch.zeros(1, 1, 2, 2)
    images[..., 0, 0], mattes[..., 0, 0] = 0.5, 1.0
    image, matte = halved(images, mattes)
    assert image.flatten().tolist() == pytest.approx([0.5] * 3) and float(matte) == 0.25


def test_the_finer_decoder_begins_as_the_enlarged_picture(autoencoder: Autoencoder) -> None:
    finer, (images, mattes) = EnlargingAutoencoder(autoencoder).eval(), pictures(2, 2 * SIDE)
    latents = finer.encode(images, mattes)
    assert torch.equal(latents, autoencoder.encode(*halved(images, mattes)))
    base_images, _ = autoencoder.train().decode(latents)
    enlarged = functional.interpolate(base_images, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert torch.allclose(finer.decode(latents)[0], enlarged.clamp(-1, 1), atol=1e-6)
    assert finer.decode(latents)[1].shape == (2, 1, 2 * SIDE, 2 * SIDE)


def test_polishing_learns_from_pictures_and_is_read_back(autoencoder: Autoencoder, tmp_path: Path) -> None:
    torch.manual_seed(1)
    given, encoder = batch(autoencoder), [p.clone() for p in autoencoder.encoder.parameters()]
    polisher = Polisher(Animator(TINY), autoencoder, learn_animator=True, rate=1e-2, seed=0, average=0.5)
    losses = [polisher.train_step(lambda rng, groups: given, 2, 0.0) for _ in range(12)]
    assert np.mean(losses[-2:]) < 0.9 * np.mean(losses[:2])
    assert all(torch.equal(a, b) for a, b in zip(encoder, autoencoder.encoder.parameters(), strict=True))
    polisher.save(tmp_path / "polished.pt")
    torch.save({"weights": Autoencoder(TINY).state_dict()}, tmp_path / "autoencoder.pt")
    found = load_autoencoder(tmp_path, TINY, checkpoint=tmp_path / "polished.pt")
    average = polisher.average[1]
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), average.parameters(), strict=True))
    wanted = polisher.average[0].state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in load_animator(tmp_path / "polished.pt").state_dict().items())


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of the mannequin's size, and a test clip."""
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (2, 9, 256, 256, 4), np.uint8)
    np.save(tmp_path / "clip_frames_0.npy", frames)
    np.save(tmp_path / "clip_backgrounds_0.npy", rng.integers(0, 256, (2, 256, 256, 3), np.uint8))
    np.save(tmp_path / "clip_keypoints_0.npy", rng.random((2, 9, 17, 2), np.float32))
    np.savez(tmp_path / "test_clips.npz", frames=frames[:1], keypoints=rng.random((1, 9, 17, 2), np.float32))
    return tmp_path


def test_the_finer_decoder_learns_from_clips_and_the_animator_stays(autoencoder: Autoencoder, clips: Path) -> None:
    animator = Animator(TINY)
    before = {k: v.clone() for k, v in animator.state_dict().items()}
    polisher = Polisher(animator, EnlargingAutoencoder(autoencoder), learn_animator=False, rate=1e-3, seed=0)
    batches = clip_batches(Clips(clips), autoencoder.eval())
    given = batches(np.random.default_rng(0), 1)
    assert given.pictures is not None and given.pictures[0].shape == (2, 3, 256, 256)
    assert given.targets.shape == (2, 4, 32, 32) and given.reference is not None
    polisher.train_step(batches, 1, 0.0)
    assert all(torch.equal(v, before[k]) for k, v in animator.state_dict().items())
    polisher.save(clips / "decoder_256.pt")
    found = load_enlarging(clips / "decoder_256.pt", autoencoder)
    assert found.fine[4].weight.abs().max() > 0  # zero before the step
    held_out = held_out_clips(clips, autoencoder)
    assert polisher.drawn(held_out)[0].shape == (1, 3, 256, 256)


def test_small_frames_are_rgba_of_half_the_size(clips: Path) -> None:
    frames = Clips(clips).clip(1)[0].copy()
    frames[..., 3] = 255
    assert np.abs(small(frames[:1]) - frames[:1].reshape(1, 128, 2, 128, 2, 4).mean((2, 4))).max() <= 0.51


def test_alone_nothing_is_averaged() -> None:
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([1.0, 3.0])
    processes.average_gradients([p])
    assert p.grad.tolist() == [1.0, 3.0] and processes.agreed(2.5) == 2.5
    assert (processes.count(), processes.rank()) == (1, 0)


def _step(folder: Path) -> None:
    """What each of two processes does: gradients 1 and 3 by rank, one parameter without any in the first."""
    a, b = (torch.nn.Parameter(torch.zeros(2, 4, 3, 3).to(memory_format=torch.channels_last)) for _ in range(2))
    rank = processes.rank()
    order = torch.arange(72.0).reshape(2, 4, 3, 3)
    a.grad = (order * (1.0 + 2 * rank)).to(memory_format=torch.channels_last)
    if rank:
        b.grad = order.to(memory_format=torch.channels_last)
    processes.average_gradients([a, b])
    assert a.grad is not None and b.grad is not None
    layout = [p.grad is not None and p.grad.stride() == p.stride() for p in (a, b)]
    right = [bool(torch.equal(a.grad, order * 2)), bool(torch.equal(b.grad, order / 2))]
    np.save(folder / f"{rank}.npy", [*layout, *right, processes.agreed(10.0 + rank) == 10.0, processes.count() == 2])


@pytest.mark.slow
def test_processes_step_by_the_mean_of_their_gradients(tmp_path: Path) -> None:
    """And the mean lies in memory as the parameter does: a fused optimiser would otherwise mix a kernel's weights."""
    processes.in_processes(_step, tmp_path, processes=2)
    for rank in (0, 1):
        assert np.load(tmp_path / f"{rank}.npy").tolist() == [True] * 6


def test_a_gpu_takes_one_process() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    add_processes(parser)
    options = parser.parse_args(["--device", "cuda"])
    settle_processes(parser, options)
    assert (options.processes, options.threads) == (1, 1)
    with pytest.raises(SystemExit):
        settle_processes(parser, parser.parse_args(["--device", "cuda", "--processes", "2"]))
