"""CLIP's two towers (Radford et al. 2021) with the keys that their checkpoints have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.systems.widths import ClipWidths, TextWidths


class SelfAttention(nn.Module):
    """Multi-head attention with biases everywhere."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(hidden, hidden)
        self.k_proj = nn.Linear(hidden, hidden)
        self.v_proj = nn.Linear(hidden, hidden)
        self.out_proj = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor, *, causal: bool) -> Tensor:
        parts = (layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in self._projections())
        out = F.scaled_dot_product_attention(*parts, is_causal=causal)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _projections(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        return self.q_proj, self.k_proj, self.v_proj


class Mlp(nn.Module):
    """Two layers; CLIP's own activation is x sigmoid(1.702 x)."""

    def __init__(self, hidden: int, intermediate: int, activation: str) -> None:
        super().__init__()
        self.quick = activation == "quick_gelu"
        self.fc1 = nn.Linear(hidden, intermediate)
        self.fc2 = nn.Linear(intermediate, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.fc1(tokens)
        return self.fc2(x * torch.sigmoid(1.702 * x) if self.quick else F.gelu(x))


class Layer(nn.Module):
    """One layer, norms first."""

    def __init__(self, widths: ClipWidths | TextWidths) -> None:
        super().__init__()
        self.self_attn = SelfAttention(widths.hidden, widths.heads)
        self.layer_norm1 = nn.LayerNorm(widths.hidden)
        self.mlp = Mlp(widths.hidden, widths.intermediate, widths.activation)
        self.layer_norm2 = nn.LayerNorm(widths.hidden)

    def forward(self, tokens: Tensor, *, causal: bool = False) -> Tensor:
        tokens = tokens + self.self_attn(self.layer_norm1(tokens), causal=causal)
        return tokens + self.mlp(self.layer_norm2(tokens))


class Encoder(nn.Module):
    """The layers under their published name."""

    def __init__(self, widths: ClipWidths | TextWidths) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(widths) for _ in range(widths.layers)])

    def forward(self, tokens: Tensor, *, causal: bool = False) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens, causal=causal)
        return tokens


class VisionEmbeddings(nn.Module):
    """A token for the class and one a patch, with learnt positions."""

    def __init__(self, widths: ClipWidths) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(widths.hidden))
        self.patch_embedding = nn.Conv2d(3, widths.hidden, widths.patch, stride=widths.patch, bias=False)
        self.position_embedding = nn.Embedding(widths.positions, widths.hidden)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(pixels.shape[0], 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class VisionTower(nn.Module):
    """The transformer of the vision tower."""

    def __init__(self, widths: ClipWidths) -> None:
        super().__init__()
        self.embeddings = VisionEmbeddings(widths)
        self.pre_layrnorm = nn.LayerNorm(widths.hidden)  # the published spelling
        self.encoder = Encoder(widths)
        self.post_layernorm = nn.LayerNorm(widths.hidden)

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, T, hidden]: the last hidden state, before post_layernorm."""
        return self.encoder(self.pre_layrnorm(self.embeddings(pixels)))


class ClipVision(nn.Module):
    """CLIP for pictures [N, 3, S, S], resized, cropped and normalised as CLIP wants them."""

    def __init__(self, widths: ClipWidths, *, projection: bool = True) -> None:
        super().__init__()
        self.vision_model = VisionTower(widths)
        if projection:
            self.visual_projection = nn.Linear(widths.hidden, widths.projection, bias=False)

    def hidden(self, pixels: Tensor) -> Tensor:
        """[N, T, hidden]: the last hidden state of all tokens."""
        return self.vision_model(pixels)

    def normed(self, pixels: Tensor) -> Tensor:
        """[N, T, hidden]: post_layernorm on all tokens."""
        return self.vision_model.post_layernorm(self.vision_model(pixels))

    def embedding(self, pixels: Tensor) -> Tensor:
        """[N, 1, projection]: the picture's one embedding."""
        return self.visual_projection(self.vision_model.post_layernorm(self.vision_model(pixels)[:, :1]))


class TextEmbeddings(nn.Module):
    """Tokens and learnt positions."""

    def __init__(self, widths: TextWidths) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(widths.vocabulary, widths.hidden)
        self.position_embedding = nn.Embedding(widths.positions, widths.hidden)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class TextTower(nn.Module):
    """The transformer of the text tower."""

    def __init__(self, widths: TextWidths) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(widths)
        self.encoder = Encoder(widths)
        self.final_layer_norm = nn.LayerNorm(widths.hidden)

    def forward(self, ids: Tensor) -> Tensor:
        return self.final_layer_norm(self.encoder(self.embeddings(ids), causal=True))


class ClipText(nn.Module):
    """CLIP for texts; only the empty one is asked for here, so no tokenizer is needed."""

    def __init__(self, widths: TextWidths) -> None:
        super().__init__()
        self.text_model = TextTower(widths)
        self.widths = widths

    def forward(self, ids: Tensor) -> Tensor:
        """[N, T] int64 token ids -> [N, T, hidden]."""
        return self.text_model(ids)

    def empty_text(self) -> Tensor:
        """[1, T, hidden]: the text "": a start, then ends to the full length (the vocabulary's last two tokens)."""
        device = self.text_model.embeddings.token_embedding.weight.device
        ids = torch.full((1, self.widths.positions), self.widths.vocabulary - 1, device=device)
        ids[0, 0] = self.widths.vocabulary - 2
        return self.text_model(ids)
