"""Calibration in a stock diffusers pipeline whose UNet is its own reference network; random weights, no download."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from tpc_stream.plugin import attach

torch.manual_seed(0)
torch.set_grad_enabled(False)
blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
unet = UNet2DConditionModel(16, block_out_channels=(32,), cross_attention_dim=16, attention_head_dim=4, **blocks)
vae = AutoencoderKL(block_out_channels=(32,))
scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
parts = {"vae": vae, "unet": unet, "scheduler": scheduler, "text_encoder": None, "tokenizer": None}
pipe = StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
reference = vae.encode(torch.rand(1, 3, 16, 16) * 2 - 1).latent_dist.mean * vae.config.scaling_factor
calibrated = {k: reference.rot90(k, dims=(2, 3)) for k in range(8)}  # in earnest: warped, then encoded
text = torch.randn(8, 7, 16)
with attach(pipe.unet, kind="bank", seed=0, group_size=4, blocks=("mid_block", "up_blocks")) as tpc:
    tpc.show(range(8), reference=reference, calibrated=calibrated)
    call = {"prompt_embeds": text, "negative_prompt_embeds": torch.zeros_like(text), "num_inference_steps": 4}
    images = pipe(**call, generator=torch.manual_seed(1)).images
