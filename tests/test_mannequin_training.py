"""Training of the mannequin: runs joined on their way, data carried as compressed pictures, and the log's curve."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.training_curve import read_parts, read_polishes
from export.mannequin.animator import Animator, Bank
from export.mannequin.batches import TARGETS, Batch
from export.mannequin.muon import Muon, split_parameters
from export.mannequin.networks import Widths
from export.mannequin.pack import group_frames, group_sheet, pack, unpack
from export.mannequin.refine import STEPS, Joined, join, sampled, underway
from export.mannequin.trainer import Trainer, animator_loss
from tpc_stream.noise_levels import flow_levels
from tpc_stream.sampler import ddim_step

TINY = Widths(latent_channels=4, autoencoder=(8, 8), levels=(8, 8, 16), time=8, guider=8, head=8, fine_tokens=10)
SMALL = 8


@pytest.fixture
def animator() -> Animator:
    torch.manual_seed(3)
    model = Animator(TINY)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    return model


def conditions(model: Animator, count: int) -> tuple[torch.Tensor, list[Bank]]:
    """Pose features of `count` frames, and a bank that they share by twos."""
    generator = torch.Generator().manual_seed(5)
    points = torch.rand(count, 17, 3, generator=generator)
    latents = torch.randn(count // TARGETS, 4, SMALL, SMALL, generator=generator)
    mattes = torch.rand(count // TARGETS, 1, SMALL, SMALL, generator=generator)
    return model.pose(points, SMALL), [(model.banks(latents, mattes), torch.arange(count) // TARGETS)]


def test_a_joined_run_stands_where_the_sampler_would_be(animator: Animator) -> None:
    animator.requires_grad_(False)
    noise = torch.randn(4, 4, SMALL, SMALL)
    pose, banks = conditions(animator, 4)
    joined = Joined(np.array([4, 2, 3, 4]), np.array([3, 1, 0, 4]))
    latents, timesteps = underway(animator, noise, pose, banks, joined)
    assert timesteps.tolist() == [0.25, 0.5, 1.0, 0.0]
    for row, (steps, done) in enumerate(zip(joined.steps, joined.done, strict=True)):
        levels, z = flow_levels(int(steps)), noise.clone()
        for k in range(int(done)):
            told = torch.full((4,), levels.timesteps[k], dtype=torch.float32)
            move = {"alpha": levels.alphas, "sigma": levels.sigmas}
            move |= {"next_alpha": levels.next_alphas, "next_sigma": levels.next_sigmas}
            at = {name: np.float32(values[k]) for name, values in move.items()}
            output = animator(z, told, pose, banks).numpy()
            z = torch.from_numpy(ddim_step(output, z.numpy(), prediction="sample", **at))
        assert torch.allclose(latents[row], z[row], atol=1e-4)
    assert torch.allclose(sampled(animator, noise, pose, banks, steps=4)[3], latents[3], atol=1e-5)


def test_passes_before_cost_the_trained_one_no_gradient(animator: Animator) -> None:
    noise = torch.randn(2, 4, SMALL, SMALL)
    gradients = []
    for done in (0, 1):
        animator.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):  # its cache must not keep weights cast without one
            pose, banks = conditions(animator, 2)
            latents, timesteps = underway(animator, noise, pose, banks, Joined(np.full(2, 2), np.full(2, done)))
            assert not latents.requires_grad
            animator(latents, timesteps, pose, banks).float().square().mean().backward()
        gradients.append({name for name, p in animator.named_parameters() if p.grad is not None and p.grad.any()})
    assert gradients[0] == gradients[1] and any("denoiser" in name for name in gradients[1])


def test_the_share_of_joined_runs_is_the_one_asked_for() -> None:
    rng = np.random.default_rng(0)
    joined = join(rng, 4000, refine=0.4)
    assert 0.36 < (joined.done > 0).mean() < 0.44
    assert set(joined.steps) == set(STEPS) and (joined.done < joined.steps).all()
    assert not join(rng, 100, refine=0.0).done.any()


@pytest.mark.slow  # torch's own registrations for that device take seconds
def test_a_step_stays_on_the_device_it_is_told(monkeypatch: pytest.MonkeyPatch, animator: Animator) -> None:
    """The meta device stands in for a GPU: it refuses a sum with what lies elsewhere."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    monkeypatch.setattr(torch.Tensor, "nonzero", lambda _: torch.zeros(3, 1, dtype=torch.int64, device="meta"))
    model = animator.to("meta")
    pair = (torch.zeros(4, 4, SMALL, SMALL), torch.zeros(4, 1, SMALL, SMALL))
    batch = Batch(*pair, torch.zeros(4, 17, 3), (pair[0][:2], pair[1][:2]), pair).to(torch.device("meta"))
    joined = Joined(np.array([4, 2, 4, 2]), np.array([3, 1, 0, 0]))
    loss = animator_loss(model, batch, torch.zeros_like(batch.targets), joined)
    loss.backward()
    Muon(split_parameters(model)[0], 0.1).step()
    assert loss.device.type == "meta"


def test_training_continues_runs_of_its_own(animator: Animator) -> None:
    trainer = Trainer(TINY, rate=1e-3, seed=0, refine=1.0)
    pair = (torch.randn(4, 4, SMALL, SMALL), torch.rand(4, 1, SMALL, SMALL))
    batch = Batch(*pair, torch.rand(4, 17, 3), (pair[0][:2], pair[1][:2]))
    assert np.isfinite(trainer.train_step(lambda *_: batch, 2, 0.1))


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Three groups of round people, as `render` leaves them, and test pairs."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    frames = np.zeros((3, 8, 128, 128, 4), np.uint8)
    for k, frame in enumerate(frames.reshape(-1, 128, 128, 4)):
        within = (y - 64) ** 2 + (x - 50 - k) ** 2 < 900
        frame[within] = (*rng.integers(0, 256, 3), 255)
    np.save(folder / "frames_0.npy", frames)
    np.save(folder / "backgrounds_0.npy", np.full((3, 128, 128, 3), (10, 200, 90), np.uint8))
    np.save(folder / "keypoints_0.npy", rng.uniform(-0.1, 1.1, (3, 8, 17, 2)).astype(np.float32))
    np.savez(
        folder / "test.npz", target=frames[0], target_keypoints=np.zeros((8, 17, 2), np.float32),
        references=frames[0][:, None].repeat(9, 1),
    )  # fmt: skip
    return folder


def test_packed_groups_come_out_nearly_as_they_went_in(groups: Path, tmp_path: Path) -> None:
    torch.save({"average": {"w": torch.ones(2)}, "widths": {}, "step": 5}, groups / "animator.pt")
    out = tmp_path / "pack"
    assert pack(groups, out, quality=80, megabytes=1.0, start=groups / "animator.pt") == 3
    assert sum(f.stat().st_size for f in out.iterdir()) < 1e6
    assert unpack(out) == 3 and unpack(out) == 0, "once"
    before, after = (np.load(folder / "frames_0.npy") for folder in (groups, out))
    assert (before[..., 3] == after[..., 3]).all(), "mattes are kept to the bit"
    person = before[..., 3] > 0
    assert np.abs(before[person].astype(int) - after[person]).mean() < 6
    backgrounds = np.load(out / "backgrounds_0.npy")
    assert np.abs(backgrounds.astype(int) - (10, 200, 90)).max() < 12
    points = [np.load(folder / "keypoints_0.npy") for folder in (groups, out)]
    assert np.abs(points[0] - points[1]).max() < 1e-3
    assert np.load(out / "test.npz")["references"].shape == (8, 1, 128, 128, 4)
    assert torch.load(out / "start.pt")["average"]["w"].dtype == torch.float16


def test_a_pack_is_no_larger_than_asked(groups: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    whole = pack(groups, out, quality=80, megabytes=1.0, start=None)
    test = (out / "test.npz").stat().st_size
    size = (out / "groups_000.npz").stat().st_size
    (out / "groups_000.npz").unlink()
    some = pack(groups, out, quality=80, megabytes=(test + 0.5 * size) / 1e6, start=None)
    assert whole == 3 and 0 < some < 3


def test_a_sheet_holds_its_frames() -> None:
    frames = np.random.default_rng(0).integers(1, 256, (8, 16, 16, 4), dtype=np.uint8)
    assert (group_frames(group_sheet(frames), 16) == frames).all()


def test_the_curve_adds_parts_up(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text("latents: 1000 of 6400 groups\nanimator 20 19s loss 1.8 held-out 4.03 23 samples/s\n")
    second.write_text(
        "animator 20 27s loss 0.7 held-out 1.1 1.2 1.4 (1, 2, 4 steps) 7.7 samples/s\n"
        "animator done: 30 steps, held-out 1.0 0.9 0.8 (1, 2, 4 steps)\n"
    )
    points = read_parts([(first, 24), (second, 12)])
    assert [p.targets for p in points] == [480, 720, 840]
    assert points[0].errors == (4.03, None, None) and points[2].errors == (1.0, 0.9, 0.8)
    (tmp_path / "c.log").write_text("nothing\n")
    with pytest.raises(ValueError, match="holds no line"):
        read_parts([(tmp_path / "c.log", 12)])


def test_polishes_follow_the_parts(tmp_path: Path) -> None:
    log = tmp_path / "p.log"
    log.write_text(
        "polish 0: held-out 19.230 dB 0.4980\npolish 50 100s loss 0.5844 held-out 19.147 dB 0.5047\n"
        "polish done: 60 steps, held-out 19.309 dB 0.5167\n"
    )
    points = read_polishes([(log, 32), (log, 16)], first=7, before=100)
    assert [p.targets for p in points] == [100, 1700, 2020, 2020, 2820, 2980]
    assert [p.part for p in points] == [7, 7, 7, 8, 8, 8]
    assert (points[2].psnr_db, points[2].ssim) == (19.309, 0.5167)
    log.write_text("animator 20 27s loss 0.7 held-out 1.1\n")
    with pytest.raises(ValueError, match="holds no line"):
        read_polishes([(log, 32)], first=1, before=0)
