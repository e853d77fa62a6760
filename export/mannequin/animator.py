"""The mannequin's animator: a reference net, a pose guider and a denoiser.

The denoiser's attention has K = V = [own, r, c]: its own features, the reference's and the calibrated reference's
(paper, section 4.3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.mannequin.networks import Residual, Widths, norm
from export.mannequin.temporal import TemporalAttention

LIMBS = (
    (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12), (5, 11), (6, 12),
    (0, 5), (0, 6), (0, 1), (0, 2), (1, 3), (2, 4),
)  # fmt: skip
"""Pairs of COCO keypoints."""


Bank = tuple[list[Tensor], Tensor | None]
"""Five token tensors [M, tokens, channels] of M pictures, and int64 [N]: which of them each of N frames uses.

No index: M is 1 and all N share it."""


PLACE_WAVES = 4
"""Sines and cosines of a token's place on each axis: of a half, one, two and four waves over the picture."""


def place_waves(height: int, width: int) -> Tensor:
    """[height * width, 4 * PLACE_WAVES] in [-1, 1], the same places for every size."""
    axes = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    angles = torch.stack(axes, -1).flatten(0, 1)[..., None] * (math.pi * 2.0 ** torch.arange(PLACE_WAVES))
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)


class Attention(nn.Module):
    """Self-attention whose keys and values may be followed by banks of other pictures' features.

    Tokens know their place in the picture: people of one video mostly stand where they stood.
    """

    def __init__(self, channels: int, head: int, *, own: bool) -> None:
        super().__init__()
        self.heads, self.width = max(1, round(channels / head)), channels // max(1, round(channels / head))
        self.norm, self.norm_out = norm(channels), nn.LayerNorm(channels)
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.out = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))
        self.null = None if own else nn.Parameter(torch.zeros(1, 1, channels))
        self.place = nn.Linear(4 * PLACE_WAVES, channels, bias=False)
        for last in (self.out, self.mlp[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        nn.init.zeros_(self.place.weight)

    def tokens(self, x: Tensor) -> Tensor:
        """[N, h*w, channels]: what this layer gives to a bank."""
        places = place_waves(x.shape[2], x.shape[3]).to(x.device)
        return self.norm(x).flatten(2).transpose(1, 2) + self.place(places)

    def forward(self, x: Tensor, banks: list[tuple[Tensor, Tensor | None]]) -> Tensor:
        """x [N, channels, h, w]; banks: tokens [M, tokens, channels], and which of the M each of the N uses.

        No index means that M is 1 and all share it. Banks are projected before they are spread over the N.
        """
        n, c, h, w = x.shape
        y = self.tokens(x)
        own = y if self.null is None else self.null.to(y.dtype)

        def spread(layer: nn.Linear, tokens: Tensor, index: Tensor | None) -> Tensor:
            projected = layer(tokens)
            return projected.expand(n, -1, -1) if index is None else projected.index_select(0, index)

        def gather(layer: nn.Linear) -> Tensor:
            first = layer(own) if self.null is None else spread(layer, own, None)
            return torch.cat([first, *(spread(layer, b.to(y.dtype), i) for b, i in banks)], 1)

        def split(a: Tensor) -> Tensor:
            return a.reshape(n, -1, self.heads, self.width).transpose(1, 2)

        query, key, value = split(self.query(y)), split(gather(self.key)), split(gather(self.value))
        # written out, and in the precision it comes in: on a CPU twice as fast as the fused kernel, backwards too
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.softmax((query * self.width**-0.5) @ key.transpose(-1, -2), -1)
            seen = weights @ value
        t = x.flatten(2).transpose(1, 2) + self.out(seen.transpose(1, 2).reshape(n, h * w, c))
        t = t + self.mlp(self.norm_out(t))
        return t.transpose(1, 2).reshape(n, c, h, w)


class UNet(nn.Module):
    """Three levels; attention at a half and a quarter of the latent size, and once at the latent size itself.

    temporal: frames of a window also see each other, at the latent size, before all those attentions and after them:
    layers further down were tried and changed nothing.
    """

    ATTENTIONS = 5

    def __init__(self, inputs: int, outputs: int | None, widths: Widths, *, time: int, temporal: bool = False) -> None:
        super().__init__()
        a, b, c = widths.levels
        self.inlet = nn.Conv2d(inputs, a, 3, padding=1)
        self.top = Residual(a, a, time)
        self.down1, self.at_half = nn.Conv2d(a, b, 3, stride=2, padding=1), Residual(b, b, time)
        self.down2, self.at_quarter = nn.Conv2d(b, c, 3, stride=2, padding=1), Residual(c, c, time)
        self.middle = Residual(c, c, time)
        self.up_quarter = Residual(2 * c, c, time)
        self.up1, self.up_half = nn.Conv2d(c, b, 3, padding=1), Residual(2 * b, b, time)
        self.up0, self.up_top = nn.Conv2d(b, a, 3, padding=1), Residual(2 * a, a, time)
        self.attend = nn.ModuleList(Attention(k, widths.head, own=k != a) for k in (b, c, c, b, a))
        self.temporal = nn.ModuleList(TemporalAttention(a) for _ in range(2)) if temporal else None
        self.time = nn.Sequential(nn.Linear(64, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU()) if time else None
        if outputs is None:
            self.outlet = None
        else:
            self.last = Residual(a, a, time)
            self.outlet = nn.Sequential(norm(a), nn.SiLU(), nn.Conv2d(a, outputs, 3, padding=1))
            nn.init.zeros_(self.outlet[2].weight)
            nn.init.zeros_(self.outlet[2].bias)

    def _embed(self, timesteps: Tensor) -> Tensor:
        rates = torch.exp(torch.arange(32, device=timesteps.device) * (-math.log(1000.0) / 31)) * 1000.0
        angles = timesteps[:, None] * rates[None]
        return torch.cat([angles.sin(), angles.cos()], 1)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor | None,
        banks: list[Bank],
        written: list[Tensor] | None = None,
        *,
        windows: int = 1,
    ) -> Tensor | None:
        """banks: what other pictures wrote; written: collects this picture's five token tensors.

        windows: how many windows of equal length the pictures are, one after the other.
        """
        t = self.time(self._embed(timesteps)) if self.time is not None and timesteps is not None else None

        def attend(k: int, h: Tensor) -> Tensor:
            if written is not None:
                written.append(self.attend[k].tokens(h))
            return self.attend[k](h, [(tokens[k], index) for tokens, index in banks])

        def across(k: int, h: Tensor) -> Tensor:
            return h if self.temporal is None else self.temporal[k](h, windows)

        top = across(0, self.top(self.inlet(x), t))
        half = attend(0, self.at_half(self.down1(top), t))
        quarter = attend(1, self.at_quarter(self.down2(half), t))
        h = attend(2, self.up_quarter(torch.cat([self.middle(quarter, t), quarter], 1), t))
        h = self.up1(functional.interpolate(h, scale_factor=2.0))
        h = attend(3, self.up_half(torch.cat([h, half], 1), t))
        h = self.up0(functional.interpolate(h, scale_factor=2.0))
        h = self.up_top(torch.cat([h, top], 1), t)
        if self.outlet is None:  # the reference net ends where its last tokens are read
            if written is not None:
                written.append(self.attend[4].tokens(h))
            return None
        return self.outlet(self.last(across(1, attend(4, h)), t))


class Animator(nn.Module):
    """Reference net, pose guider and denoiser."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        z, a, g = widths.latent_channels, widths.levels[0], widths.guider
        self.widths = widths
        self.reference = UNet(z + 1, None, widths, time=0)
        self.guider = nn.Sequential(
            nn.Conv2d(2 * len(LIMBS), g, 3, padding=1), nn.SiLU(), nn.Conv2d(g, g, 3, padding=1), nn.SiLU(),
            nn.Conv2d(g, g, 3, padding=1),
        )  # fmt: skip
        self.denoiser = UNet(g + max(8, a // 4), z, widths, time=widths.time, temporal=widths.temporal)
        self.noisy = nn.Conv2d(z, max(8, a // 4), 3, padding=1)

    def banks(self, latents: Tensor, mattes: Tensor) -> list[Tensor]:
        """Five token tensors [N, tokens, channels] of screened pictures; mattes [N, 1, H, W] in [0, 1]."""
        small = functional.avg_pool2d(mattes, mattes.shape[-1] // latents.shape[-1])
        written: list[Tensor] = []
        self.reference(torch.cat([latents, small], 1), None, [], written)
        chosen = small.flatten(1).topk(min(self.widths.fine_tokens, small[0].numel()), 1)[1]
        written[4] = torch.gather(written[4], 1, chosen[..., None].expand(-1, -1, written[4].shape[2]))
        return written

    def pose(self, keypoints: Tensor, size: int) -> Tensor:
        """[F, guider, size, size] from keypoints [F, 17, 3]: x / width, y / height, visibility."""
        return self.guider(limb_maps(keypoints, size))

    def forward(
        self, latents: Tensor, timesteps: Tensor, pose: Tensor, banks: list[Bank], *, windows: int = 1
    ) -> Tensor:
        """The clean latents [F, z, h, w] that lie behind noisy ones at timesteps [F] in [0, 1].

        windows: of how many windows, one after the other and equally long, the frames are; with temporal layers only
        the frames of the same one see each other.
        """
        out = self.denoiser(torch.cat([pose, self.noisy(latents)], 1), timesteps, banks, windows=windows)
        assert out is not None
        return out


def limb_maps(keypoints: Tensor, size: int) -> Tensor:
    """[F, 36, size, size]: for each limb a soft line, and the same signed from its first to its last end."""
    grid = (torch.arange(size, device=keypoints.device) + 0.5) / size
    x, y = grid.view(1, 1, 1, size), grid.view(1, 1, size, 1)
    first, last = keypoints[:, [a for a, _ in LIMBS]], keypoints[:, [b for _, b in LIMBS]]
    ax, ay, visible_a = (first[..., k, None, None] for k in range(3))
    bx, by, visible_b = (last[..., k, None, None] for k in range(3))
    dx, dy = bx - ax, by - ay
    along = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-6)).clamp(0, 1)
    distance = (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2
    line = torch.exp(distance * (-1 / (2 * 0.025**2))) * torch.minimum(visible_a, visible_b)
    return torch.cat([line, line * (2 * along - 1)], 1)
