"""The mannequin's temporal layers and the clips that they learn from, at tiny width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from export.mannequin.animator import Animator
from export.mannequin.clip_batches import Clips
from export.mannequin.clip_latents import Windows, clip_windows, unsteady_keypoints, write_clip_latents
from export.mannequin.clips import CLIP_FRAMES, Clip, views, write_clips
from export.mannequin.graphs import export_graph, graph_specs, parity, round_weights
from export.mannequin.networks import Autoencoder, Widths
from export.mannequin.temporal import TemporalAttention, is_temporal, put_under, temporal_widths
from export.mannequin.temporal_trainer import TemporalTrainer, conditions, gone_so_far, held_out_errors, window_loss
from export.mannequin.trainer import load_animator

STILL = Widths(latent_channels=4, autoencoder=(8, 8), levels=(8, 8, 16), time=8, guider=8, head=8, fine_tokens=10)
MOVING = temporal_widths(STILL)
SMALL = 8

pytestmark = pytest.mark.usefixtures("one_thread")


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """The module with no weight at zero, so that every path shows in the output."""
    torch.manual_seed(3)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p) * 0.2)
    return module.eval().requires_grad_(False)


def tiny_windows(rng: np.random.Generator, count: int, length: int) -> Windows:
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    frames = count * length
    return Windows(
        random(frames, 4, SMALL, SMALL) * 2 - 1, random(frames, 1, SMALL, SMALL), random(frames, 17, 3),
        (random(count, 4, SMALL, SMALL), random(count, 1, SMALL, SMALL)),
    )  # fmt: skip


def drawn(model: Animator, batch: Windows, *, windows: int | None = None) -> Tensor:
    """One step from noise that is the same for all frames."""
    pose, banks = conditions(model, batch)
    noise = torch.randn(1, 4, SMALL, SMALL, generator=torch.Generator().manual_seed(1)).expand(len(pose), -1, -1, -1)
    return model(noise, torch.ones(len(pose)), pose, banks, windows=len(batch) if windows is None else windows)


@pytest.fixture
def still() -> Animator:
    model = lively(Animator(STILL))
    assert isinstance(model, Animator)
    return model


@pytest.fixture
def moving(still: Animator) -> Animator:
    model = lively(Animator(MOVING))
    assert isinstance(model, Animator)
    put_under(model, still.state_dict())
    return model


def test_new_layers_change_nothing(still: Animator) -> None:
    model = Animator(MOVING).requires_grad_(False)
    put_under(model, still.state_dict())
    batch = tiny_windows(np.random.default_rng(0), 2, 3)
    assert torch.equal(drawn(model, batch), drawn(still, batch))


def test_only_the_temporal_keys_may_be_missing(still: Animator) -> None:
    weights = still.state_dict()
    assert not any(is_temporal(name) for name in weights)
    del weights["noisy.bias"]
    with pytest.raises(RuntimeError, match=r"noisy\.bias"):
        put_under(Animator(MOVING), weights)
    with pytest.raises(RuntimeError, match="temporal"):
        Animator(MOVING).load_state_dict(still.state_dict())


def test_frames_see_their_own_window_alone(moving: Animator) -> None:
    batch = tiny_windows(np.random.default_rng(0), 2, 3)
    before = drawn(moving, batch)
    keypoints = batch.keypoints.clone()
    keypoints[4] = keypoints[4].flip(0)
    moved = (drawn(moving, replace(batch, keypoints=keypoints)) - before).abs().amax((1, 2, 3))
    assert torch.all(moved[:3] == 0) and torch.all(moved[3:] > 1e-4)


def test_a_window_backwards_gives_its_frames_backwards(moving: Animator) -> None:
    batch = tiny_windows(np.random.default_rng(0), 1, 5)
    forwards = drawn(moving, batch)
    backwards = drawn(moving, replace(batch, keypoints=batch.keypoints.flip(0)))
    torch.testing.assert_close(backwards.flip(0), forwards, atol=1e-5, rtol=1e-4)
    shuffled = drawn(moving, replace(batch, keypoints=batch.keypoints[[1, 0, 2, 3, 4]]))
    assert (shuffled[2] - forwards[2]).abs().max() > 1e-5, "how far away a frame is makes no difference"


def test_near_frames_count_more_before_any_training() -> None:
    layer = TemporalAttention(8)
    torch.nn.init.zeros_(layer.query.weight)
    torch.nn.init.normal_(layer.out.weight)
    x = torch.randn(9, 8, 2, 2)
    near, far = x.clone(), x.clone()
    near[1], far[8] = torch.randn(2, 8, 2, 2)
    far[8] = near[1] - x[1] + x[8]
    with torch.no_grad():
        change = [(layer(y, 1)[0] - layer(x, 1)[0]).norm() for y in (near, far)]
    assert change[0] > change[1] > 0


def test_the_exported_graph_takes_windows_of_any_length(moving: Animator, tmp_path: Path) -> None:
    spec = next(s for s in graph_specs(Autoencoder(STILL), moving, size=4 * SMALL) if s.name == "denoise")
    round_weights(spec.module)
    export_graph(spec, tmp_path / "denoise.onnx")
    axes = {f"{side}{k}": 6 for side in "RC" for k in range(5)}
    for frames in (1, 5):
        assert parity(spec, tmp_path / "denoise.onnx", F=frames, U=1, **axes) < 1e-4


def test_only_the_temporal_layers_learn(still: Animator, tmp_path: Path) -> None:
    held = tiny_windows(np.random.default_rng(5), 2, 4)
    trainer = TemporalTrainer(still, rate=0.3, seed=0)

    def same(rng: np.random.Generator, windows: int, length: int) -> Windows:
        return held

    without = held_out_errors(still, held)
    losses = [trainer.train_step(same, 1, 0.0) for _ in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    for name, value in trainer.model.state_dict().items():
        if not is_temporal(name):
            assert torch.equal(value, still.state_dict()[name]), name
    assert held_out_errors(trainer.model, held).person < 0.8 * without.person
    trainer.save(tmp_path / "animator.pt")
    again = TemporalTrainer(still, rate=0.3, seed=1)
    again.resume(tmp_path / "animator.pt")
    assert again.step == 12
    assert torch.equal(again.layers[0].out.weight, trainer.layers[0].out.weight)
    loaded = load_animator(tmp_path / "animator.pt")
    assert torch.equal(drawn(loaded, held), drawn(trainer.average.eval(), held))


def test_the_loss_counts_frames_and_what_changes_between_them() -> None:
    truth, mattes = torch.zeros(6, 4, SMALL, SMALL), torch.ones(6, 1, SMALL, SMALL)
    steady = torch.ones_like(truth)
    flicker = steady * torch.tensor([1.0, -1.0, 1.0] * 2).view(-1, 1, 1, 1)
    assert window_loss(steady, truth, mattes, windows=2).item() == pytest.approx(1.0)
    assert window_loss(flicker, truth, mattes, windows=2).item() == pytest.approx(1.0 + 3.0)
    apart = torch.cat([steady[:3], -steady[3:]])
    assert window_loss(apart, truth, mattes, windows=2).item() == pytest.approx(1.0), "two windows were compared"


def test_frames_go_as_far_as_they_are_told(moving: Animator) -> None:
    batch = tiny_windows(np.random.default_rng(0), 1, 3)
    pose, banks = conditions(moving, batch)
    noise = torch.randn(1, 4, SMALL, SMALL).expand(3, -1, -1, -1)
    latents, timesteps = gone_so_far(
        moving, noise, pose, banks, torch.tensor([0.0, 1.0, 2.0]), steps=4, windows=1
    )  # fmt: skip
    assert timesteps.tolist() == [1.0, 0.75, 0.5]
    gone = (latents - noise).abs().mean((1, 2, 3))
    assert gone[0] == 0 and 0 < gone[1] < gone[2]


class FakeRenderer:
    """Small clips of nobody; the keypoints say which clip and frame they are of."""

    made = 0

    def draw(self, rng: np.random.Generator) -> Clip:
        self.made += 1
        frames = rng.integers(0, 256, (1 + CLIP_FRAMES, 256, 256, 4), dtype=np.uint8)
        points = np.full((1 + CLIP_FRAMES, 17, 2), 0.5, np.float32)
        points[:, :, 0] = np.arange(1 + CLIP_FRAMES)[:, None] / 16
        return Clip(frames, frames[0, ..., :3], points + self.made, None)


def test_clips_on_disk_become_windows(tmp_path: Path) -> None:
    write_clips(tmp_path, FakeRenderer(), worker=0, count=2, seed=0)  # type: ignore[arg-type]
    assert np.load(tmp_path / "clip_frames_0.npy").shape == (2, 9, 256, 256, 4)
    assert np.load(tmp_path / "clip_backgrounds_0.npy").shape == (2, 256, 256, 3)
    assert np.load(tmp_path / "clip_keypoints_0.npy").shape == (2, 9, 17, 2)
    assert not list(tmp_path.glob("*.tmp"))
    clips = Clips(tmp_path)
    write_clip_latents(clips, Autoencoder(STILL).eval(), tmp_path, seed=0)
    batch = clip_windows(tmp_path, clips)(np.random.default_rng(1), 3, 4)
    assert batch.targets.shape == (12, 4, 32, 32) and batch.reference[0].shape == (3, 4, 32, 32)
    at = batch.keypoints[..., 0].median(1)[0].view(3, 4) % 1 * 16
    steps = at.diff(dim=1)
    assert torch.all((steps.abs() - 1).abs() < 0.9), "frames of a window do not follow each other"
    latents = np.load(tmp_path / "clip_latents.npy")
    assert any(np.array_equal(batch.reference[0][0].half().numpy(), latents[g, 0]) for g in range(2))


def test_keypoints_shake_as_strongly_all_through_a_window_but_each_frame_on_its_own() -> None:
    rng, true = np.random.default_rng(0), np.full((8, 17, 2), 0.5, np.float32)
    windows = np.stack([unsteady_keypoints(rng, true) for _ in range(300)])
    off = windows[..., :2] - true
    strength = np.median(np.abs(off), axis=(2, 3))
    assert 0.1 < np.mean(strength.max(1) == 0) < 0.3, "a fifth of the windows do not shake"
    shaking = off[strength.min(1) > 0]
    assert 0.002 < np.median(np.abs(shaking)) < 0.008
    first, last = (np.log(np.abs(shaking[:, half]).mean((1, 2, 3))) for half in (slice(4), slice(4, 8)))
    assert np.corrcoef(first, last)[0, 1] > 0.6
    assert abs(np.corrcoef(shaking[:, 1:, :, 0].ravel(), shaking[:, :-1, :, 0].ravel())[0, 1]) < 0.05
    assert 0.03 < (windows[..., 2] == 0).any(2).mean() < 0.1


def test_cameras_move_little_and_the_reference_stands_like_the_frames() -> None:
    rng, moving = np.random.default_rng(0), 0
    for _ in range(40):
        found = np.stack(views(rng, turned=0.0))
        assert found.shape == (1 + CLIP_FRAMES, 4, 4)
        sizes = np.linalg.det(found[:, :2, :3] @ found[:, :2, :3].transpose(0, 2, 1)) ** 0.25
        assert np.all(np.abs(sizes / sizes[1] - 1) < 0.25)
        moving += not np.allclose(found[1], found[-1])
    assert 8 < moving < 32
