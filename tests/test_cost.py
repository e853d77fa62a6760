"""What calibration costs: counted, against a count by hand and torch's own."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from export.__main__ import main
from export.cost import frame_cost
from export.counting import Work, counted
from export.systems.attention import Shown, attend
from export.systems.loading import built_on_meta
from export.systems.random_checkpoint import TINY_UNET, random_system
from export.systems.unet import UNet
from tests.stock_diffusers import stock_options
from tpc_stream.errors import InputError


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels, bias=False)])


def test_an_attention_counted_by_hand() -> None:
    frames, drawn, own, r, c, channels = 6, 2, 10, 7, 5, 8
    attention, tokens = Attention(channels, 2), torch.zeros(frames, own, channels)
    shown = Shown(torch.zeros(1, r, channels), torch.zeros(drawn, c, channels), torch.zeros(frames, dtype=torch.long))
    plain = Shown(torch.zeros(1, r, channels))
    with_c = counted(lambda: attend(attention, tokens, own=True, shown=shown))
    without = counted(lambda: attend(attention, tokens, own=True, shown=plain))
    projections = 4 * frames * own * channels**2 + 2 * r * channels**2
    assert without.multiply_adds == projections + 2 * frames * own * (own + r) * channels
    # K and V of each drawn picture once, then every frame's scores and sums over its own
    extra = with_c - without
    assert extra.multiply_adds == 2 * drawn * c * channels**2 + 2 * frames * own * c * channels
    # two layers read and write c and read their weights; then K and V are c longer, in every frame
    assert extra.bytes == 2 * (2 * (2 * drawn * c * channels + channels**2) + 2 * frames * c * channels)


def test_a_network_counted_by_torch() -> None:
    latents, times, context = torch.zeros(2, 4, 8, 8), torch.zeros(2), torch.zeros(2, 5, 32)
    ours = built_on_meta(lambda: UNet(TINY_UNET))
    found = counted(lambda: ours(latents.to("meta"), times.to("meta"), Shown(context.to("meta"))))
    stock = UNet2DConditionModel(**stock_options(TINY_UNET))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        stock(latents, times, encoder_hidden_states=context)
    assert found.multiply_adds == pytest.approx(counter.get_total_flops() / 2, rel=1e-3)


@pytest.mark.parametrize("name", ["dreampose", "magicanimate"])
def test_what_changes_with_groups_and_steps(name: str) -> None:
    system = random_system(name, width=64, height=64)
    one = frame_cost(system, size=64, steps=10, group_size=1)
    two = frame_cost(system, size=64, steps=10, group_size=2)
    twice = frame_cost(system, size=64, steps=20, group_size=2)
    assert one.without == two.without
    assert two.attended.multiply_adds < one.attended.multiply_adds  # fewer pictures' K and V, as many scores
    assert twice.attended.multiply_adds == pytest.approx(2 * two.attended.multiply_adds)
    assert twice.without.multiply_adds < 2 * two.without.multiply_adds  # a frame is decoded once
    if name == "magicanimate":  # the bank is written at every step, for each group
        once = counted(lambda: system.vae_encoder(torch.zeros(1, 3, 64, 64))).multiply_adds
        written = two.encoded.multiply_adds - (1 - 0.5**10) * once
        assert written == pytest.approx((one.encoded.multiply_adds - once) / 2, rel=1e-2)  # each pass has one text
    else:  # a frame's picture is encoded once, if it is drawn at any step: 1 - (1 - 1/2)^10 of all are
        assert two.encoded.multiply_adds == pytest.approx((1 - 0.5**10) * one.encoded.multiply_adds)
        assert twice.encoded.multiply_adds == pytest.approx(one.encoded.multiply_adds, rel=1e-5)
    for cost in (one, two, twice):
        assert cost.extra.multiply_adds == cost.encoded.multiply_adds + cost.attended.multiply_adds > 0
        assert cost.extra.bytes > 0


def test_no_work_is_counted_outside() -> None:
    assert counted(lambda: None) == Work()
    torch.nn.functional.linear(torch.zeros(1, 1), torch.zeros(1, 1))
    assert counted(lambda: torch.zeros(2) + 1) == Work()


def test_bad_input_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    system = random_system("dreampose", width=64, height=64)
    with pytest.raises(InputError, match="has 8 frames: group_size = 3 does not divide it"):
        frame_cost(system, size=64, steps=1, group_size=3)
    with pytest.raises(InputError, match="at least one step"):
        frame_cost(system, size=64, steps=0, group_size=1)
    assert main(["table", "nobody"]) == 2
    assert "unknown system 'nobody'; one of magicanimate" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_at_real_width(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "magicanimate"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("magicanimate"))
    assert 3 < float(row.split("%")[0].split()[-1]) < 14


@pytest.mark.slow
def test_the_table_of_a_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "disco", "--markdown"]) == 0
    *_, row = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "disco" and float(cells[3]) <= 1e-4
    assert float(cells[4].split()[0]) >= 40 and float(cells[7].split()[0]) > 1
    assert "bit-identical again" in cells[6]
