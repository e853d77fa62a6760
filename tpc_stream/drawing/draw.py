"""One pose picture of a body, in the manner that a manifest names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tpc_stream.drawing.densepose import draw_densepose, draw_densepose_uv, part_colours
from tpc_stream.drawing.dwpose import draw_dwpose
from tpc_stream.drawing.openpose18 import draw_openpose18
from tpc_stream.errors import InputError
from tpc_stream.frame import Body
from tpc_stream.manifest import Drawing

APPROXIMATE: frozenset[Drawing] = frozenset({"densepose", "densepose_uv"})
"""What is only drawn approximately from keypoints and silhouette."""


def draw_pose(drawing: Drawing, body: Body | None, *, width: int, height: int) -> NDArray[np.uint8]:
    """HWC uint8, RGB or two channels UV; of nobody, the drawing's empty ground. `body` in pixels of any canvas."""
    if body is None:
        ground = part_colours()[0] if drawing == "densepose" else np.zeros(channels(drawing), np.uint8)
        return np.tile(ground, (height, width, 1))
    if drawing == "densepose":
        return draw_densepose(body, width=width, height=height)
    if drawing == "densepose_uv":
        return draw_densepose_uv(body, width=width, height=height)
    rows, columns = body.silhouette.shape
    points = body.keypoints.astype(np.float64) * (width / columns, height / rows)
    if drawing == "dwpose":
        return draw_dwpose(points, body.visibility, width=width, height=height)
    if drawing == "openpose18":
        return draw_openpose18(points, body.visibility, width=width, height=height)
    raise InputError(f"{drawing!r} is no drawing")


def from_video(drawing: Drawing, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a frame of a pose video (HWC RGB) says. Of a UV video, green is U and red is V, as OpenCV writes IUV."""
    return np.ascontiguousarray(picture[..., [1, 0]]) if drawing == "densepose_uv" else picture


def channels(drawing: Drawing) -> int:
    """Of one picture."""
    return 2 if drawing == "densepose_uv" else 3
