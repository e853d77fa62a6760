"""What diffusers' own UNet and ControlNet are told, where ours are held against them."""

from __future__ import annotations

from export.systems.widths import UNetWidths


def stock_options(widths: UNetWidths) -> dict[str, object]:
    """For both."""
    return {
        "block_out_channels": widths.block_out_channels,
        "cross_attention_dim": widths.cross_attention_dim,
        "attention_head_dim": widths.heads,  # diffusers' historical name for the number of heads
        "norm_num_groups": widths.norm_groups,
        "layers_per_block": 2,
    }
