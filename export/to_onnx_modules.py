"""The graphs of an animation system as torch modules, one a role: plain tensors in and out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.systems.system import AnimationSystem
from export.to_onnx import Shape


class Encode(nn.Module):
    """images [N, 3, H, W] in [-1, 1] -> latents [N, 4, h, w]."""

    def __init__(self, system: AnimationSystem) -> None:
        super().__init__()
        self.encoder = system.vae_encoder

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(images)


class Decode(nn.Module):
    """latents [F, 4, h, w] -> images [F, 3, H, W] in [-1, 1]."""

    def __init__(self, system: AnimationSystem, *, stretched: bool) -> None:
        """`stretched`: each frame's darkest and brightest value become -1 and 1, as the authors do."""
        super().__init__()
        self.decoder, self.stretched = system.vae_decoder, stretched

    def forward(self, latents: Tensor) -> Tensor:
        images = self.decoder(latents)
        if not self.stretched:
            return images
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        return (images - low) / (high - low) * 2 - 1


class Tokens(nn.Module):
    """pixels [N, 3, S, S] (and images [N, 3, H, W], where an adapter sees those too) -> [N, T, C].

    With `unconditional`, also a constant [1, T, C]: the tokens of pictures of zeros.
    """

    def __init__(self, system: AnimationSystem, *, size: int, picture: Shape | None, unconditional: bool) -> None:
        super().__init__()
        self.system: Any = system
        self.adapts = picture is not None
        if unconditional:
            blank = [torch.zeros(1, 3, size, size)]
            if picture is not None:
                # the adapter's VAE is given 0 to 255: nothing at all is black
                blank.append(torch.full((1, *map(int, picture)), -1.0))
            with torch.no_grad():
                self.register_buffer("unconditional", self._tokens(*blank))
        else:
            self.unconditional = None

    def _tokens(self, pixels: Tensor, images: Tensor | None = None) -> Tensor:
        if images is None:
            return self.system.image_tokens(pixels)
        latents = self.system.vae_encoder((images + 1) * 127.5)  # 0 to 255: what the adapter was trained on
        return self.system.image_tokens(pixels, latents)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        tokens = self._tokens(*inputs)
        if self.unconditional is None:
            return (tokens,)
        # an output that is nothing but a constant would lose its name
        return tokens, self.unconditional + torch.zeros_like(tokens[:1])


class Bank(nn.Module):
    """latents [N, 4, h, w], then timesteps [N] or context [1, T, C] -> the features of N pictures."""

    def __init__(self, system: AnimationSystem, text: Tensor | None) -> None:
        """`text`: the constant context of systems that have one; they also follow the timestep."""
        super().__init__()
        self.system: Any = system
        self.register_buffer("text", text)

    def forward(self, latents: Tensor, other: Tensor) -> tuple[Tensor, ...]:
        if self.text is None:
            return tuple(self.system.write_bank(latents, torch.zeros(1, device=latents.device), other))
        return tuple(self.system.write_bank(latents, other, self.text))


class Pose(nn.Module):
    """pose_images [F, C, H, W] in [0, 1] -> pose features [F, C, h, w]."""

    def __init__(self, system: AnimationSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, pose_images: Tensor) -> Tensor:
        return self.system.pose_features(pose_images)


class Control(nn.Module):
    """pose_images [F, 3, H, W], latents [F, 4, h, w], timesteps [F] -> the ControlNet's 13 residuals."""

    def __init__(self, system: AnimationSystem, text: Tensor) -> None:
        super().__init__()
        self.system: Any = system
        self.register_buffer("text", text)

    def forward(self, pose_images: Tensor, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        pose = self.system.pose_features(pose_images)
        return tuple(self.system.control(latents, timesteps, self.text, pose))


class Denoise(nn.Module):
    """One pass: inputs by name in the order of the graph."""

    def __init__(self, system: AnimationSystem, names: tuple[str, ...], text: Tensor | None) -> None:
        super().__init__()
        self.system: Any = system
        self.names = names
        self.register_buffer("text", text)

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.names, inputs, strict=True))
        latents, timesteps = given["latents"], given["timesteps"]

        def numbered(kind: str) -> tuple[Tensor, ...]:
            return tuple(tensor for name, tensor in given.items() if name.startswith(kind + "_"))

        reference, residuals, pose = numbered("reference"), numbered("residual"), given.get("pose_features")
        calibrated = tuple(given[f"calibrated_{k:02d}"] for k in range(len(reference)))
        if "background_latents" in given:
            # both ControlNets look at the reference's tokens, in each half of guidance at its own
            background = self.system.background_features(given["background_latents"])
            residuals = self.system.control(latents, timesteps, reference[0], pose, background)
            pose = None
        return self.system.denoise(
            latents, timesteps, context=given.get("context", self.text), pose=pose, residuals=residuals,
            reference=reference, calibrated=calibrated, calibrated_index=given["calibrated_index"],
        )  # fmt: skip
