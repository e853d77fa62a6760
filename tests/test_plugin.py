"""Calibration attached to diffusers UNets: what it adds, what it leaves alone, and what it draws."""

from __future__ import annotations

import logging
import runpy
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from torch import Tensor, nn

from export.systems.attention import Shown
from export.systems.random_checkpoint import TINY_UNET, randomise
from export.systems.unet import UNet, bank_names
from tests.stock_diffusers import stock_options
from tpc_stream.errors import InputError
from tpc_stream.plugin import Attachment, attach
from tpc_stream.propagation import draw_window

FRAMES = range(4, 8)
STEPS = (901, 601, 301, 1)


@pytest.fixture(autouse=True)
def quiet(one_thread: None) -> Iterator[None]:
    with torch.no_grad():
        yield
    torch.set_grad_enabled(True)  # the examples switch it off


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SMALL: dict[str, Any] = {
    "block_out_channels": (32, 64), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "layers_per_block": 1, "cross_attention_dim": 32,
}  # fmt: skip


def built(seed: int = 0, **options: Any) -> UNet2DConditionModel:
    network = UNet2DConditionModel(**(options or SMALL))
    randomise(network, seed=seed)
    return network.double().eval()  # rounding is then no excuse


@pytest.fixture
def unet() -> UNet2DConditionModel:
    return built()


LATENTS, CONTEXT = drawn(8, 4, 8, 8), drawn(8, 5, 32, seed=1)
"""[unconditional, conditional] of four frames."""
COPIES = {k: drawn(3, 32, seed=10 + k) for k in range(16)}
PICTURES = {k: drawn(4, 8, 8, seed=30 + k) for k in range(16)}
REFERENCE = drawn(1, 4, 8, 8, seed=2)


def called(unet: nn.Module, timestep: int = 500, latents: Tensor = LATENTS, context: Tensor = CONTEXT) -> Tensor:
    return unet(latents, timestep, encoder_hidden_states=context).sample


class Spy(AttnProcessor2_0):
    """The stock processor, which remembers how many tokens were attended to in which rows."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, **others: Any) -> Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        self.seen.append((source.shape[0], source.shape[1]))
        return super().__call__(attn, hidden_states, encoder_hidden_states, **others)


def spied(unet: UNet2DConditionModel, which: str) -> dict[str, Spy]:
    spies = {name: Spy() for name in unet.attn_processors}
    unet.set_attn_processor(dict(spies))
    return {name.removesuffix(".processor"): spy for name, spy in spies.items() if f".{which}." in name}


ATTACH: list[dict[str, Any]] = [{"kind": "tokens"}, {"kind": "bank"}, {"kind": "bank", "blocks": ("mid_block",)}]


@pytest.mark.parametrize("options", ATTACH)
def test_nothing_changes_before_the_first_show_nor_after_detach(unet: UNet2DConditionModel, options: Any) -> None:
    before, processors = called(unet), unet.attn_processors
    tpc = attach(unet, **options)
    assert any(a is not b for a, b in zip(processors.values(), unet.attn_processors.values(), strict=True))
    assert torch.equal(called(unet), before)
    pictures = COPIES if options["kind"] == "tokens" else PICTURES
    tpc.show(FRAMES, calibrated=pictures)
    shown = called(unet)
    assert (shown - before)[4:].abs().max() > 1e-3
    with tpc.hidden():
        assert torch.equal(called(unet), before)
    assert torch.equal(called(unet), shown)
    tpc.detach()
    tpc.detach()
    assert all(a is b for a, b in zip(processors.values(), unet.attn_processors.values(), strict=True))
    assert not unet._forward_pre_hooks and not unet._forward_hooks
    assert torch.equal(called(unet), before)
    with pytest.raises(InputError, match="was detached"):
        tpc.show(FRAMES, calibrated=pictures)


def test_no_calibrated_tokens_are_no_calibration(unet: UNet2DConditionModel) -> None:
    alone = called(unet, 500, LATENTS[4:], CONTEXT[4:])
    with attach(unet, kind="tokens") as tpc:
        tpc.show(FRAMES, calibrated=dict.fromkeys(FRAMES, torch.zeros(0, 32)))
        assert torch.equal(called(unet, 500, LATENTS[4:], CONTEXT[4:]), alone)


def test_tokens_stand_behind_the_references_own(unet: UNet2DConditionModel) -> None:
    spies = spied(unet, "attn2")
    unconditional = called(unet, 500, LATENTS[:4], CONTEXT[:4])
    with attach(unet, kind="tokens", seed=3) as tpc:
        tpc.show(FRAMES, calibrated=COPIES)
        for spy in spies.values():
            spy.seen.clear()
        both = called(unet)
        longer = torch.cat([CONTEXT[4:], torch.stack([COPIES[k] for k in tpc.uses])], dim=1)
    assert len(spies) == 4 and all(spy.seen == [(4, 5), (4, 8)] for spy in spies.values())
    conditional = called(unet, 500, LATENTS[4:], longer)
    torch.testing.assert_close(both, torch.cat([unconditional, conditional]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("other", [False, True])
def test_a_bank_is_what_our_own_networks_compute(other: bool) -> None:
    unet, writer = built(**stock_options(TINY_UNET)), built(9 if other else 0, **stock_options(TINY_UNET))
    down = other
    ours, writers = UNet(TINY_UNET).double(), UNet(TINY_UNET).double()
    ours.load_state_dict(unet.state_dict())
    writers.load_state_dict(writer.state_dict())
    options: dict[str, Any] = {} if down else {"blocks": ("mid_block", "up_blocks")}
    spies = spied(unet, "attn1")
    with attach(unet, kind="bank", writer=writer if other else None, seed=3, **options) as tpc:
        tpc.show(FRAMES, calibrated=PICTURES, reference=REFERENCE)
        tpc.at(2)
        for spy in spies.values():
            spy.seen.clear()
        both = called(unet)
        uses = tpc.uses
    assert tuple(unet.attn_processors) and all(isinstance(p, Spy) for p in unet.attn_processors.values())
    written: dict[str, Tensor] = {}
    pictures = torch.cat([REFERENCE, torch.stack([PICTURES[k] for k in uses])])
    writers(pictures, torch.full((5,), 500.0), Shown(CONTEXT[4:5]), written=written)
    index = torch.arange(4)
    bank = {name: Shown(written[name][:1], written[name][1:], index) for name in bank_names(ours, down=down)}
    times = torch.full((4,), 500.0)
    conditional = ours(LATENTS[4:], times, Shown(CONTEXT[4:]), bank=bank)
    unconditional = ours(LATENTS[:4], times, Shown(CONTEXT[:4]))
    torch.testing.assert_close(both, torch.cat([unconditional, conditional]), rtol=0, atol=1e-9)
    for name in bank:
        rows, tokens = spies[f"{name}.attn1"].seen[-1]
        assert (rows, tokens) == (4, 3 * spies[f"{name}.attn1"].seen[-2][1])


def walked(tpc: Attachment, unet: nn.Module, steps: tuple[int, ...] = STEPS) -> np.ndarray:
    """[steps, frames] what a host that merely calls the UNet gets drawn."""
    uses = []
    for timestep in steps:
        called(unet, timestep)
        uses.append(tpc.uses)
    return np.array(uses)


@pytest.mark.parametrize(("seed", "group_size"), [(0, 4), (5, 2), (1, 1)])
def test_draws_are_those_of_the_runtime(unet: UNet2DConditionModel, seed: int, group_size: int) -> None:
    draws = draw_window(4, 4, steps=4, seed=seed, group_size=group_size)
    with attach(unet, kind="tokens", seed=seed, group_size=group_size) as tpc:
        tpc.show(FRAMES, calibrated=COPIES)
        expected = np.array(draws.drawn)[draws.gather]
        np.testing.assert_array_equal(walked(tpc, unet), expected)
        np.testing.assert_array_equal(walked(tpc, unet), expected)  # a higher timestep begins another run
        for step in (2, 0, 3):
            tpc.at(step)
            called(unet)
            assert tpc.uses == tuple(expected[step])
        tpc.at(3, frames=range(12, 16))
        called(unet, 1)
        there = draw_window(12, 4, steps=4, seed=seed, group_size=group_size)
        assert tpc.uses == tuple(np.array(there.drawn)[there.gather[3]])


def test_only_drawn_frames_are_asked_for_and_each_once(unet: UNet2DConditionModel) -> None:
    asked: list[int] = []

    def tokens(index: int) -> Tensor:
        asked.append(index)
        return COPIES[index][None]

    with attach(unet, kind="tokens", group_size=4, seed=1) as tpc:
        tpc.show(FRAMES, calibrated=tokens)
        wanted = walked(tpc, unet)
    assert sorted(asked) == np.unique(wanted).tolist() and len(asked) < 4


@pytest.mark.parametrize(("timestep", "passes"), [(0, "once"), (None, "every step")])
def test_a_bank_is_written_as_often_as_it_changes(
    unet: UNet2DConditionModel, timestep: int | None, passes: str
) -> None:
    writer = built(9)
    told: list[tuple[int, float]] = []
    writer.register_forward_pre_hook(lambda module, args: told.append((len(args[0]), float(args[1][0]))))
    with attach(unet, kind="bank", writer=writer, writer_timestep=timestep, group_size=4) as tpc:
        tpc.show(FRAMES, calibrated=PICTURES, reference=REFERENCE)
        uses = walked(tpc, unet)
    assert all(isinstance(p, AttnProcessor2_0) for p in writer.attn_processors.values())
    if passes == "once":
        held = [None, *uses[:, 0]]
        assert told[0] == (2, 0.0)
        assert sum(count for count, _ in told) <= 1 + sum(a != b for a, b in pairwise(held))
    else:
        assert told == [(2, float(step)) for step in STEPS]


def test_another_order_of_guidance_and_a_mask_of_the_context(unet: UNet2DConditionModel) -> None:
    mask = torch.ones(12, 5)
    mask[:, 4] = 0
    latents, context = drawn(12, 4, 8, 8), drawn(12, 5, 32, seed=1)
    with attach(unet, kind="tokens", guidance=(False, True, True)) as tpc:
        tpc.show(FRAMES, calibrated=COPIES)
        masked = unet(latents, 5, encoder_hidden_states=context, encoder_attention_mask=mask).sample
        copies = torch.stack([COPIES[k] for k in tpc.uses])
    for part in range(3):
        rows = slice(4 * part, 4 * part + 4)
        seen = torch.cat([context[rows, :4], copies], dim=1) if part else context[rows, :4]
        torch.testing.assert_close(masked[rows], called(unet, 5, latents[rows], seen), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["tokens", "bank"])
def test_a_clip_with_temporal_layers_is_as_many_rows(unet: UNet2DConditionModel, kind: Any) -> None:
    motion = UNetMotionModel(
        block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"), layers_per_block=1, cross_attention_dim=32,
        motion_num_attention_heads=4, num_attention_heads=4,
    ).double().eval()  # fmt: skip
    clips = LATENTS.unflatten(0, (2, 4)).transpose(1, 2)
    before = called(motion, 500, clips)
    spies = spied(motion, "attn2" if kind == "tokens" else "attn1")
    with attach(motion, kind=kind, **({} if kind == "tokens" else {"writer": unet})) as tpc:
        tpc.show(FRAMES, calibrated=COPIES if kind == "tokens" else PICTURES)
        shown = called(motion, 500, clips)
        draws = tpc.uses
    assert draws == tuple(draw_window(4, 4, steps=1, seed=0, group_size=4).drawn) * 4
    torch.testing.assert_close(shown[0], before[0], rtol=0, atol=1e-9)
    assert (shown[1] - before[1]).abs().max() > 1e-6
    over_frames = [spy.seen for name, spy in spies.items() if "motion_modules" in name]
    assert over_frames and all(tokens == 4 for seen in over_frames for _, tokens in seen)


def test_a_failed_call_leaves_nothing_behind(unet: UNet2DConditionModel) -> None:
    before = called(unet)
    with attach(unet, kind="bank") as tpc:
        tpc.show(FRAMES, calibrated=PICTURES | {k: torch.zeros(9, 8, 8) for k in FRAMES})
        with pytest.raises(RuntimeError, match="9 channels"):
            called(unet)
        with tpc.hidden():
            assert torch.equal(called(unet), before)
        tpc.show(FRAMES, calibrated=PICTURES)
        assert not torch.equal(called(unet), before)


def fused(unet: Any) -> nn.Module:
    unet.fuse_qkv_projections()
    return unet


def adapted(unet: Any) -> nn.Module:
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.processor"
    adapter = IPAdapterAttnProcessor2_0(hidden_size=64, cross_attention_dim=32)
    unet.set_attn_processor(unet.attn_processors | {name: adapter})
    return unet


def same(unet: nn.Module) -> nn.Module:
    return unet


NARROW = {"block_out_channels": (32,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (lambda unet: nn.Linear(1, 1), {"kind": "tokens"}, "UNet with attention processors is wanted, got Linear"),
        (
            lambda unet: UNet2DConditionModel(**NARROW, mid_block_type=None),
            {"kind": "tokens"},
            "this UNet has no attn2; there are some in: no block",
        ),
        (fused, {"kind": "bank"}, r"fused; call unfuse_qkv_projections\(\)"),
        (adapted, {"kind": "tokens"}, r"weights \(IPAdapterAttnProcessor2_0\).*unload"),
        (same, {"kind": "both"}, 'kind is "tokens" or "bank", got \'both\''),
        (same, {"kind": "tokens", "group_size": 0}, "at least one frame, got group_size = 0"),
        (same, {"kind": "tokens", "guidance": (False,)}, "at least one conditional pass"),
        (same, {"kind": "tokens", "writer_timestep": 0}, 'are for kind="bank"'),
        (same, {"kind": "bank", "blocks": ("middle",)}, "middle has no attn1; there are some in: down_blocks.0"),
        (same, {"kind": "bank", "writer": nn.Linear(1, 1)}, "Linear has no down_blocks.0.*3 more are missing"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_left_alone(
    unet: UNet2DConditionModel, change: Callable[[nn.Module], Any], options: dict[str, Any], told: str
) -> None:
    network = change(unet)
    before = getattr(network, "attn_processors", {})
    with pytest.raises(InputError, match=told):
        attach(network, **options)
    after = getattr(network, "attn_processors", {})
    assert all(before[name] is after[name] for name in before)
    assert not network._forward_pre_hooks


def test_what_cannot_be_shown_is_told(unet: UNet2DConditionModel) -> None:
    with attach(unet, kind="tokens", seed=1) as tpc:
        with pytest.raises(InputError, match="call show first"):
            tpc.at(0)
        with pytest.raises(InputError, match="at least one frame is shown"):
            tpc.show([], calibrated=COPIES)
        with pytest.raises(InputError, match="as encoder_hidden_states"):
            tpc.show(FRAMES, calibrated=COPIES, reference=REFERENCE)
        with pytest.raises(InputError, match="the clip ends before the frame"):
            tpc.show(FRAMES, calibrated=COPIES, total=6)
        tpc.show(range(8), calibrated={})
        with pytest.raises(InputError, match=r"frame \d is drawn at step 0, and `calibrated` has nothing for it"):
            called(unet)
        tpc.show(range(3), calibrated=COPIES)
        with pytest.raises(InputError, match="8 rows is neither 3 frames nor 2 times as many"):
            called(unet)
        tpc.show(FRAMES, calibrated=dict.fromkeys(FRAMES, torch.zeros(2, 3, 32)))
        with pytest.raises(InputError, match=r"calibrated tokens \[T, C\] of frame \d: 2 axes.*got \(2, 3, 32\)"):
            called(unet)
        tpc.show(FRAMES, calibrated=COPIES)
        with pytest.raises(InputError, match=r"one timestep, got \[1.0, 2.0\]"):
            unet(LATENTS, torch.tensor([1, 2] * 4), encoder_hidden_states=CONTEXT)
        with pytest.raises(InputError, match="steps are counted from 0, got step = -1"):
            tpc.at(-1)


def test_the_later_attachment_goes_first(unet: UNet2DConditionModel) -> None:
    first = attach(unet, kind="tokens")
    second = attach(unet, kind="bank")
    second.detach()  # of other attentions: in any order
    third = attach(unet, kind="tokens")
    with pytest.raises(InputError, match="was changed after the calibration was attached"):
        first.detach()
    third.detach()
    first.detach()
    assert all(type(p) is AttnProcessor2_0 for p in unet.attn_processors.values())


@pytest.mark.parametrize("name", ["plugin_tokens.py", "plugin_bank.py"])
def test_an_example_runs_as_it_stands(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    pytest.importorskip("transformers", reason="stock pipelines need transformers")
    path = project / "examples" / name
    assert len(path.read_text().splitlines()) < 30
    caplog.set_level(logging.ERROR)
    with_calibration = runpy.run_path(str(path))["images"]
    assert len(with_calibration) == 8
    monkeypatch.setattr(Attachment, "show", lambda *args, **options: None)
    without = runpy.run_path(str(path))["images"]
    assert np.abs(np.array(with_calibration[0], dtype=int) - np.array(without[0])).max() > 2
