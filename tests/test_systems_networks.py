"""The networks that the systems share, against diffusers' own, against stored numbers, and against themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from export.systems.attention import Shown
from export.systems.clip import ClipText
from export.systems.control import ControlNet
from export.systems.loading import built_on_meta
from export.systems.masked_attention import attention_biases
from export.systems.random_checkpoint import TINY_UNET, random_system, randomise
from export.systems.system import AnimationSystem
from export.systems.unet import UNet
from export.systems.widths import TextWidths
from tests.stock_diffusers import stock_options
from tpc_stream.errors import InputError


@pytest.fixture(autouse=True)
def no_gradients(one_thread: None) -> Iterator[None]:
    with torch.no_grad():
        yield


disco = cache(lambda: random_system("disco"))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def built(make: type[nn.Module], **options: object) -> nn.Module:
    network = built_on_meta(lambda: make(**options))
    randomise(network, seed=0)
    return network.eval()


def test_the_walk_is_diffusers_forward_also_where_sizes_do_not_halve() -> None:
    """Latents of 98 rows go 98, 49, 25, 13, and back up to each of them; here 11 go 11, 6, 3, 2."""
    stock = built(UNet2DConditionModel, **stock_options(TINY_UNET))
    ours = built(UNet, widths=TINY_UNET)
    ours.load_state_dict(stock.state_dict())
    latents, times, context = drawn(2, 4, 11, 8), torch.tensor([700, 3]), drawn(2, 5, 32)
    expected = stock(latents, times, encoder_hidden_states=context).sample
    assert (ours(latents, times, Shown(context)) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_controlnet_is_diffusers() -> None:
    stock = built(
        ControlNetModel, conditioning_embedding_out_channels=TINY_UNET.conditioning_channels, **stock_options(TINY_UNET)
    )
    ours = built(ControlNet, widths=TINY_UNET)
    ours.load_state_dict(stock.state_dict())
    latents, times, context, picture = drawn(2, 4, 8, 8), torch.tensor([9, 9]), drawn(2, 5, 32), drawn(2, 3, 64, 64)
    downs, mid = stock(latents, times, encoder_hidden_states=context, controlnet_cond=picture, return_dict=False)
    found = ours(latents, times, Shown(context), ours.controlnet_cond_embedding(picture))
    for a, b in zip(found, (*downs, mid), strict=True):
        assert (a - b).abs().max() < 1e-5 * b.abs().max()


def test_the_text_tower_is_transformers() -> None:
    """The numbers are transformers 4.57.1's CLIPTextModel at these weights, the first three channels of each token."""
    model = ClipText(TextWidths(hidden=8, intermediate=16, layers=2, heads=2, vocabulary=12, positions=5))
    for number, (_, value) in enumerate(sorted(model.state_dict().items())):
        value.copy_(torch.sin(torch.arange(value.numel()) * 1.7 + number).reshape(value.shape))
    expected = torch.tensor(EMPTY_TEXT)
    assert (model.empty_text()[0, :, :3] - expected).abs().max() < 2e-5


EMPTY_TEXT = [
    [1.215997, -1.298904, 0.611415],
    [1.153381, -1.312912, 0.478885],
    [1.176156, -1.212219, 0.529761],
    [1.221522, -1.151754, 0.620577],
    [1.239635, -1.207415, 0.660164],
]


def denoised(system: AnimationSystem, latents: Tensor, times: Tensor, r: tuple[Tensor, ...], **more: object) -> Tensor:
    options: dict[str, object] = {"context": None, "pose": None, "residuals": (), "reference": r}
    options["calibrated"] = tuple(tensor[:, :0] for tensor in r)
    options["calibrated_index"] = torch.zeros(len(latents), dtype=torch.long)
    return system.denoise(latents, times, **(options | more))


def test_each_frame_has_its_own_timestep_and_its_own_calibrated_features() -> None:
    system = disco()
    latents, times = drawn(3, 4, 8, 8), torch.tensor([900, 500, 1])
    r, c = drawn(1, 17, 32, seed=1), drawn(2, 17, 32, seed=2)
    index = torch.tensor([1, 0, 1])
    together = denoised(system, latents, times, (r,), calibrated=(c,), calibrated_index=index)
    for frame in range(3):
        one = slice(frame, frame + 1)
        alone = denoised(system, latents[one], times[one], (r,), calibrated=(c[index[one]],))
        assert (together[one] - alone).abs().max() < 1e-4
    swapped = denoised(system, latents, times, (r,), calibrated=(c,), calibrated_index=1 - index)
    assert not torch.allclose(together, swapped, atol=1e-3)


def test_no_tokens_are_zero_tokens() -> None:
    system = disco()
    latents, times = drawn(2, 4, 8, 8), torch.tensor([5, 5])
    zeros = system.unconditional_tokens()
    assert zeros.shape == (1, 17, 32)
    assert torch.allclose(
        denoised(system, latents, times, (zeros,)), denoised(system, latents, times, (zeros[:, :0],)), atol=1e-5
    )


@pytest.mark.parametrize("name", ["animate-anyone", "magicanimate"])
def test_a_bank_conditions_and_an_empty_one_does_not(name: str) -> None:
    system = random_system(name)
    width = 32
    latents, times, context = drawn(3, 4, 8, 8), torch.tensor([5, 5, 5]), drawn(1, 2, width, seed=3)
    written = system.write_bank(drawn(2, 4, 8, 8, seed=4), torch.tensor([0, 0]), context)
    assert len(written) == len(system.feature_names) == (16 if name == "animate-anyone" else 10)
    assert all(tensor.shape[0] == 2 for tensor in written)
    r = tuple(tensor[:1] for tensor in written)
    nothing = tuple(tensor[:1, :0] for tensor in written)
    unconditional = denoised(system, latents, times, nothing, context=context)
    conditional = denoised(system, latents, times, r, context=context)
    index = torch.tensor([1, 0, 1])
    calibrated = denoised(system, latents, times, r, context=context, calibrated=written, calibrated_index=index)
    # K = V = [own, r, r] is not [own, r]: softmax weighs r twice
    twice = denoised(system, latents, times, r, context=context, calibrated=r)
    outputs = [unconditional, conditional, calibrated, twice]
    for k, a in enumerate(outputs):
        assert torch.isfinite(a).all()
        for b in outputs[k + 1 :]:
            assert (a - b).abs().max() > 1e-3


def test_frames_see_each_other_only_in_temporal_systems() -> None:
    for system, temporal in ((disco(), False), (random_system("disco-tm"), True)):
        latents, times, r = drawn(3, 4, 8, 8), torch.tensor([5, 5, 5]), drawn(1, 17, 32, seed=1)
        other = latents.clone()
        other[2] += 1
        change = denoised(system, latents, times, (r,)) - denoised(system, other, times, (r,))
        moved = change[0].abs().max().item()
        assert moved > 1e-2 if temporal else moved < 1e-4
        assert system.traits.temporal is temporal


def test_the_authors_masks_hide_what_they_say() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[:, :, :4] = 255  # the left half is the person
    (bias,) = attention_biases({"b": 4}, target=mask, reference=mask, calibrated=mask, dtype=torch.float32).values()
    own, r, c = bias.unflatten(2, (3, 4)).unbind(2)
    left = torch.tensor([True, False, True, False])
    assert (own == 0).all()
    assert torch.equal(r[0] == 0, ~left[:, None] & ~left[None])
    assert torch.equal(c[0] == 0, left[:, None] & left[None])
    with pytest.raises(InputError, match="square"):
        attention_biases({"b": 5}, target=mask, reference=mask, calibrated=mask, dtype=torch.float32)
