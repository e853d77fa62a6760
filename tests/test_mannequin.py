"""The mannequin's networks, training step and export, at tiny width; and the committed bundle."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from export.mannequin.animator import Animator, limb_maps
from export.mannequin.autoencoder import autoencoder_loss
from export.mannequin.batches import (
    TARGETS,
    Batch,
    best_similarity,
    calibrated_batches,
    leaning,
    plain_batches,
    warp,
)
from export.mannequin.bundle import About, case_axes, write_bundle
from export.mannequin.dataset import Latents, Pictures, as_reference, seen_keypoints, write_latents
from export.mannequin.graphs import GraphSpec, export_graph, graph_specs, parity, round_weights
from export.mannequin.networks import Autoencoder, Widths
from export.mannequin.trainer import Trainer, load_animator

TINY = Widths(latent_channels=4, autoencoder=(8, 8), levels=(8, 8, 16), time=8, guider=8, head=8, fine_tokens=10)
SIZE, SMALL = 32, 8
ENGINES = Path(__file__).parent.parent / "engines"


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """The module with no weight at zero, so that every path shows in the output."""
    torch.manual_seed(3)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    return module.eval().requires_grad_(False)


def tiny_batch(rng: np.random.Generator, groups: int) -> Batch:
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
    count = groups * TARGETS
    return Batch(
        torch.randn(count, 4, SMALL, SMALL, generator=generator),
        torch.rand(count, 1, SMALL, SMALL, generator=generator),
        torch.rand(count, 17, 3, generator=generator),
        (
            torch.randn(groups, 4, SMALL, SMALL, generator=generator),
            torch.rand(groups, 1, SMALL, SMALL, generator=generator),
        ),
    )


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def specs() -> dict[str, GraphSpec]:
    found = graph_specs(lively(Autoencoder(TINY)), lively(Animator(TINY)), size=SIZE)
    return {s.name: s for s in found}


def test_the_autoencoder_ignores_what_lies_outside_the_matte() -> None:
    model = lively(Autoencoder(TINY))
    images, mattes = torch.rand(1, 3, SIZE, SIZE) * 2 - 1, torch.zeros(1, 1, SIZE, SIZE)
    mattes[..., 8:24, 8:24] = 1
    other = torch.where(mattes > 0, images, -images)
    assert torch.equal(model.encode(images, mattes), model.encode(other, mattes))
    assert not torch.equal(model.encode(images, mattes), model.encode(-images, mattes))
    decoded, found = model.decode(model.encode(images, mattes))
    assert decoded.shape == (1, 3, SIZE, SIZE) and found.shape == (1, 1, SIZE, SIZE)
    assert decoded.abs().max() <= 1 and found.min() >= 0 and found.max() <= 1


def test_an_autoencoder_step_lowers_the_loss_on_its_batch() -> None:
    torch.manual_seed(0)
    model = Autoencoder(TINY).train()
    images, mattes = torch.rand(2, 3, SIZE, SIZE) * 2 - 1, torch.ones(2, 1, SIZE, SIZE)
    optimiser, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(30):
        torch.manual_seed(1)
        loss = autoencoder_loss(model, images, mattes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_hidden_points_draw_no_limb() -> None:
    points = torch.rand(1, 17, 3)
    points[..., 2] = 1
    assert limb_maps(points, SMALL)[:, :18].amax((2, 3)).min() > 0
    points[:, 9, 2] = 0  # the left wrist: limb 1 ends there, and no other
    maps = limb_maps(points, SMALL)[:, :18].amax((2, 3))[0]
    assert maps[1] == 0 and (maps > 0).sum() == 17


def test_calibrated_tokens_change_the_output_and_their_order_does_not(specs: dict[str, GraphSpec]) -> None:
    spec = specs["denoise"]
    axes = {f"{side}{k}": 6 for side in "RC" for k in range(5)}
    example = spec.example(F=2, U=2, **axes)
    whole = spec.module(*example.values())
    without = spec.module(*{k: v[:, :0] if k.startswith("calibrated_0") else v for k, v in example.items()}.values())
    assert (whole - without).abs().max() > 1e-4
    turned = {k: v.flip(1) if k.startswith("calibrated_0") else v for k, v in example.items()}
    assert torch.allclose(spec.module(*turned.values()), whole, atol=1e-5)


def test_frames_take_the_calibrated_bank_of_their_index(specs: dict[str, GraphSpec]) -> None:
    spec = specs["denoise"]
    example = spec.example(F=2, U=3, **{f"{side}{k}": 6 for side in "RC" for k in range(5)})
    example["calibrated_index"] = torch.tensor([2, 0])
    both = spec.module(*example.values())
    alone = {k: v[2:] if k.startswith("calibrated_0") else v[:1] for k, v in example.items()}
    alone["calibrated_index"] = torch.tensor([0])
    assert torch.allclose(spec.module(*alone.values()), both[:1], atol=1e-5)


def test_three_steps_change_the_weights_and_a_checkpoint_brings_them_back(tmp_path: Path) -> None:
    trainer, fresh = (Trainer(TINY, rate=1e-3, seed=0) for _ in range(2))
    losses = [trainer.train_step(tiny_batch, 2, 0.1) for _ in range(3)]
    assert np.isfinite(losses).all()
    moved = [not torch.equal(a, b) for a, b in zip(trainer.model.parameters(), fresh.model.parameters(), strict=True)]
    assert sum(moved) > 0.5 * len(moved)
    trainer.save(tmp_path / "animator.pt")
    fresh.resume(tmp_path / "animator.pt")
    assert fresh.step == 3
    for ours, theirs in ((trainer.model, fresh.model), (trainer.average, fresh.average)):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert load_animator(tmp_path / "animator.pt").widths == TINY


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """A folder with two groups of noise in the place of rendered people, the second lying down."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 8, 128, 128, 4), dtype=np.uint8)
    frames[..., 3] = 0
    frames[:, :, 40:90, 50:80, 3] = 255
    points = rng.uniform(0.3, 0.7, (2, 8, 17, 2)).astype(np.float32)
    points[:, :, 5:7], points[0, :, 11:13], points[1, :, 11:13] = (0.5, 0.3), (0.5, 0.6), (0.8, 0.3)
    np.save(tmp_path / "frames_0.npy", frames)
    np.save(tmp_path / "backgrounds_0.npy", rng.integers(0, 256, (2, 128, 128, 3), dtype=np.uint8))
    np.save(tmp_path / "keypoints_0.npy", points)
    return tmp_path


def test_rendered_groups_train_with_and_without_calibration(rendered: Path) -> None:
    pictures, autoencoder = Pictures(rendered), Autoencoder(TINY).eval()
    write_latents(pictures, autoencoder, rendered, seed=0)
    data = Latents(rendered, pictures)
    rng = np.random.default_rng(1)
    plain = plain_batches(data, drop=0.0)(rng, 1)
    assert plain.targets.shape == (TARGETS, 4, 32, 32) and plain.calibrated is None
    assert plain.reference is not None and len(plain.reference[0]) == 1
    both = calibrated_batches(pictures, data, autoencoder, share=1.0)(rng, 1)
    assert both.reference is not None and both.calibrated is not None
    assert [len(part) for part in both.calibrated] == [TARGETS] * 2, "one calibrated reference a target"
    trainer = Trainer(TINY, rate=1e-3, seed=0)
    assert np.isfinite(trainer.train_step(lambda *_: both, 1, 0.1))


def test_leaning_groups_are_drawn_less_often(rendered: Path) -> None:
    pictures = Pictures(rendered)
    assert leaning(pictures.keypoints).tolist() == [False, True]
    write_latents(pictures, Autoencoder(TINY).eval(), rendered, seed=0)
    data = Latents(rendered, pictures)
    upright = torch.from_numpy(np.array(data.latents[0])).float()
    targets = plain_batches(data, lean=0.0)(np.random.default_rng(0), 16).targets
    assert all((upright == target).flatten(1).all(1).any() for target in targets)


@pytest.mark.parametrize("name", ["encode", "reference", "pose", "denoise", "decode"])
def test_every_graph_equals_its_module(name: str, specs: dict[str, GraphSpec], tmp_path: Path) -> None:
    spec = specs[name]
    round_weights(spec.module)
    export_graph(spec, tmp_path / f"{name}.onnx")
    for case in ({"N": 1, "F": 1, "U": 1}, {"N": 3, "F": 4, "U": 3}):
        assert parity(spec, tmp_path / f"{name}.onnx", **case_axes(case, spec)) < 1e-4
    if name == "denoise":
        for case in ({"F": 4, "U": 1, "no_calibrated": 1}, {"F": 2, "U": 1, "no_calibrated": 1, "no_reference": 1}):
            assert parity(spec, tmp_path / f"{name}.onnx", **case_axes(case, spec)) < 1e-4


def test_parity_sees_other_weights(specs: dict[str, GraphSpec], tmp_path: Path) -> None:
    spec = specs["pose"]
    round_weights(spec.module)
    export_graph(spec, tmp_path / "pose.onnx")
    with torch.no_grad():
        next(spec.module.animator.guider.parameters()).mul_(1.01)
    assert parity(spec, tmp_path / "pose.onnx", F=2) > 1e-4


def test_a_written_manifest_names_its_files(specs: dict[str, GraphSpec], tmp_path: Path) -> None:
    write_bundle(tmp_path, [specs["pose"]], About(version="7", origin="a test", size=SIZE, channels=4))
    manifest = tomllib.loads((tmp_path / "manifest.toml").read_text())
    assert manifest["version"] == "7" and manifest["latent"]["channels"] == 4
    digest = hashlib.sha256((tmp_path / "pose.onnx").read_bytes()).hexdigest()
    assert manifest["graphs"]["pose"]["sha256"] == digest
    assert manifest["graphs"]["pose"]["inputs"]["keypoints"] == {"dtype": "float32", "shape": ["F", 17, 3]}


def test_a_similarity_is_found_again() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((9, 2)).astype(np.float32) * 100
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    matrix = best_similarity(x, (x @ turn.T + (5, -3)).astype(np.float32))
    assert np.allclose(matrix, [[0, -2, 5], [2, 0, -3]], atol=1e-4)
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[4, 20] = 255
    moved = warp(picture, np.array([[0.0, -1.0, 32.0], [1.0, 0.0, 0.0]]))  # a quarter turn about the centre
    assert moved[20, 27, 0] == 255 and (moved[..., 0] > 0).sum() == 1


def test_augmented_inputs_stay_in_their_ranges() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (128, 128, 4), dtype=np.uint8)
    frame[..., 3] = 0
    frame[40:90, 50:80, 3] = 255
    given = as_reference(rng, frame, np.full((128, 128, 3), 9, np.uint8))
    assert given.shape == frame.shape and given.dtype == np.uint8
    assert (given[60, 60, :3] == frame[60, 60, :3]).all() and (given[5, 5, :3] == 9).all()
    outside = np.full((2, 17, 2), 1.5, np.float32)
    seen = seen_keypoints(rng, np.concatenate([outside, np.full((2, 17, 2), 0.5, np.float32)]))
    assert seen.shape == (4, 17, 3) and seen[:2, :, 2].max() <= 0.6 and seen[..., 2].min() >= 0
    assert seen[2:, :, 2].mean() > 0.8


@pytest.mark.parametrize("name", ["mannequin", "mannequin-256"])
def test_the_committed_bundle_is_what_its_manifest_says(name: str) -> None:
    import onnxruntime

    bundle = ENGINES / name
    manifest = tomllib.loads((bundle / "manifest.toml").read_text())
    assert set(manifest["graphs"]) == {"encode", "reference", "pose", "denoise", "decode"}
    assert sum(f.stat().st_size for f in bundle.iterdir()) < 20e6
    types = {"float32": "tensor(float)", "int64": "tensor(int64)"}
    for role, graph in manifest["graphs"].items():
        path = bundle / graph["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == graph["sha256"], role
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for side, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert [v.name for v in values] == list(graph[side]), (role, side)
            for v in values:
                wanted = graph[side][v.name]
                assert v.type == types[wanted["dtype"]]
                fixed = [(a, b) for a, b in zip(v.shape, wanted["shape"], strict=True) if not isinstance(b, str)]
                assert all(a == b or isinstance(a, str) for a, b in fixed), (role, v.name, v.shape)
