"""The true motion of a rendered body between two frames: where each visible point of its surface goes."""

from __future__ import annotations

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

_VERTEX = """#version 330
in vec3 position; in vec3 other; out vec4 here; out vec4 there;
uniform mat4 clip;
void main() { here = clip * vec4(position, 1.0); there = clip * vec4(other, 1.0); gl_Position = here; }"""
_FRAGMENT = """#version 330
in vec4 here; in vec4 there; out vec4 colour;
void main() { colour = vec4(there.xy / there.w - here.xy / here.w, 0.0, 1.0); }"""
_CONSISTENT_PIXELS = 1.0
"""A point that does not come back this near by the way back was hidden in one of the two frames."""


class FlowRenderer:
    """Draws motion instead of colour, for bodies of one mesh topology; clothes and hair move as the skin below them.

    Args:
        context: the `Renderer`'s, since only one context can be the current one.
    """

    def __init__(self, context: moderngl.Context, faces: NDArray[np.int32], vertex_count: int, *, size: int) -> None:
        self.size, self._context = size, context
        self._program = self._context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        shape = (size, size)
        self._target = self._context.framebuffer(
            [self._context.texture(shape, 4, dtype="f4")], self._context.depth_renderbuffer(shape)
        )
        self._buffers = {n: self._context.buffer(reserve=vertex_count * 12) for n in ("position", "other")}
        indices = self._context.buffer(np.ascontiguousarray(faces, np.int32).tobytes())
        self._array = self._context.vertex_array(
            self._program, [(b, "3f", n) for n, b in self._buffers.items()], indices
        )

    def flow(
        self, now: NDArray[np.floating], following: NDArray[np.floating], clip: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """[size, size, 2] (x, y) pixels from each pixel of this frame to the next; nan off the body and where hidden.

        now, following: vertices [V, 3] metres of both frames, seen through the same clip matrix.
        """
        there, back = self._draw(now, following, clip), self._draw(following, now, clip)
        rows, columns = np.mgrid[0 : self.size, 0 : self.size].astype(np.float32)
        known = np.nan_to_num(there)
        returned = cv2.remap(
            back, columns + known[..., 0], rows + known[..., 1], cv2.INTER_NEAREST, borderValue=(np.nan, np.nan)
        )
        lost = ~(np.linalg.norm(there + returned, axis=2) <= _CONSISTENT_PIXELS)  # also where either is nan
        there[lost] = np.nan
        return there

    def _draw(
        self, position: NDArray[np.floating], other: NDArray[np.floating], clip: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        for name, values in (("position", position), ("other", other)):
            self._buffers[name].write(np.ascontiguousarray(values, np.float32).tobytes())
        self._program["clip"].write(np.ascontiguousarray(clip.T, np.float32).tobytes())
        self._target.use()
        self._context.clear(0, 0, 0, 0)
        self._context.enable(moderngl.DEPTH_TEST)
        self._array.render()
        drawn = np.frombuffer(self._target.read(components=4, dtype="f4"), np.float32)
        drawn = drawn.reshape(self.size, self.size, 4)[::-1]
        moved = drawn[..., :2] * (self.size / 2, -self.size / 2)
        return np.where(drawn[..., 3:] > 0, moved, np.nan).astype(np.float32)
