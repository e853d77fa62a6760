"""Calibration for models that run in torch: a diffusers UNet is shown c_i beside r, without training or patches.

    from tpc_stream.plugin import attach

    tpc = attach(pipe.unet, kind="tokens", seed=0, group_size=4)
    tpc.show(range(8), calibrated=tokens)  # frame index -> [T, C], made from tpc_stream.procrustes' warped pictures
    images = pipe(...).images
    tpc.detach()

The rest of `tpc_stream` needs no torch; this does.
"""

from __future__ import annotations

from tpc_stream.plugin.attachment import Attachment, attach

__all__ = ["Attachment", "attach"]
