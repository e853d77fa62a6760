"""Calibration in a stock diffusers pipeline that sees its reference as CLIP tokens; random weights, no download."""

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionImageVariationPipeline, UNet2DConditionModel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tpc_stream.frame import Similarity
from tpc_stream.plugin import attach
from tpc_stream.procrustes import search, warp

torch.manual_seed(0)
torch.set_grad_enabled(False)
blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
unet = UNet2DConditionModel(32, block_out_channels=(32,), cross_attention_dim=16, attention_head_dim=4, **blocks)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 16}
clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, image_size=32, patch_size=8)).eval()
parts = {"vae": AutoencoderKL(block_out_channels=(32,)), "unet": unet, "scheduler": DDIMScheduler()}
pipe = StableDiffusionImageVariationPipeline(**parts, image_encoder=clip, safety_checker=None, feature_extractor=None)
picture, size = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8), {"width": 32, "height": 32}
joints, seen, mask = np.random.default_rng(1).uniform(9, 23, (17, 2)), np.ones(17), np.zeros((32, 32), np.uint8)
mask[8:24, 10:22] = 255
pixels, calibrated = (lambda image: torch.tensor(image).permute(2, 0, 1)[None] / 127.5 - 1), {}
for k, turn in enumerate(Similarity(1.0, 0.2 * k, (2.0 * k, -2.0 * k)) for k in range(8)):  # the driving person
    driving = joints @ turn.matrix[:, :2].T + turn.matrix[:, 2], seen, warp(picture, mask, turn, **size)[1]
    calibrated[k] = clip(pixels(warp(picture, mask, search(joints, seen, mask, *driving).transform, **size)[0]))[0]
with attach(pipe.unet, kind="tokens", seed=0, group_size=4) as tpc:
    tpc.show(range(8), calibrated=calibrated)
    images = pipe(pixels(picture).expand(8, -1, -1, -1), num_inference_steps=4, generator=torch.manual_seed(1)).images
