"""OpenGL drawing of one dressed body: colour, straight alpha, and nothing of the background."""

from __future__ import annotations

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray

from export.mannequin.clothes import PARTS, Look

_VERTEX = """#version 330
in vec3 position; in vec3 normal; in vec3 rest; in float part;
uniform mat4 clip; uniform float thickness[12];
out vec3 n; out vec3 r; flat out int k;
void main() {
    k = int(part + 0.5); n = normal; r = rest;
    gl_Position = clip * vec4(position + normal * thickness[k], 1.0);
}"""
_FRAGMENT = """#version 330
in vec3 n; in vec3 r; flat in int k; out vec4 colour;
uniform vec3 first[12]; uniform vec3 second[12]; uniform vec4 pattern[12];
uniform vec4 cuts; uniform vec4 face; uniform vec3 light[3]; uniform sampler2D picture;
void main() {
    int part = k;
    if (k == 4 && r.z > cuts.x) part = 1;                              // the top hangs over the trousers
    if ((k == 2 || k == 3) && abs(r.x) > cuts.y) part = 0;             // end of the sleeves
    if ((part == 4 || part == 5) && r.z < cuts.z) part = 0;            // end of the trousers
    vec4 q = pattern[part]; vec3 p = r * q.y; float a = 0.0; int kind = int(q.x + 0.5);
    if (kind == 1) a = step(0.5, fract(p.z));
    else if (kind == 2) a = step(0.5, fract(p.x + q.z));
    else if (kind == 3) a = mod(floor(p.x + q.z) + floor(p.z), 2.0);
    else if (kind == 4) a = 0.5 + 0.5 * sin(p.x * 3.0 + sin(p.z * 4.0 + q.z * 6.0) * 2.0) * sin(p.z * 5.0 + q.w);
    else if (kind == 5) a = step(length(fract(vec2(p.x + q.z, p.z)) - 0.5), 0.3);
    else if (kind == 6) a = step(q.w, r.z);
    else if (kind == 7) a = step(0.0, r.x);
    vec3 c = mix(first[part], second[part], a);
    if (kind == 8) c = mix(c, texture(picture, vec2(r.x, r.z) * q.y * 0.25 + q.zw).rgb, 0.85);
    if (k == 9 && r.y < face.z) {                                      // brows, lids, lips: 1 = middle to eye
        vec2 f = vec2(abs(r.x), r.z - face.x) / face.y; vec2 e = f - vec2(1.0, 0.0);
        float brow = smoothstep(0.16, 0.08, abs(f.y - 0.62 + 0.12 * e.x * e.x)) * smoothstep(0.62, 0.45, abs(e.x));
        float lid = smoothstep(0.62, 0.42, length(e * vec2(1.0, 1.9)));
        float lips = smoothstep(0.22, 0.12, abs(f.y + 2.15 - 0.1 * f.x)) * smoothstep(0.85, 0.6, f.x);
        c = mix(c, first[10], brow * face.w); c = mix(c, c * 0.62, lid * face.w);
        c = mix(c, c * vec3(0.85, 0.48, 0.48), lips * face.w);
    }
    vec3 m = normalize(n); if (k == 11 && !gl_FrontFacing) { m = -m; c *= 0.6; }
    float folds = 1.0;
    if (part != 0 && k != 9 && k != 8) 
        folds = 0.95 + 0.07 * sin(r.x * 23.0 + 3.0 * sin(r.z * 17.0)) * sin(r.z * 29.0 + r.y * 19.0);
    float shade = max(dot(m, light[0]), 0.0) * 0.6 + max(dot(m, light[1]), 0.0) * 0.2;
    colour = vec4(min(c * folds * (light[2] + shade), 1.0), 1.0);
}"""
_RINGS, _SPOKES = 12, 32


def _skirt_faces(first: int) -> NDArray[np.int32]:
    ring, spoke = np.meshgrid(np.arange(_RINGS - 1), np.arange(_SPOKES), indexing="ij")
    a = first + ring * _SPOKES + spoke
    b = first + ring * _SPOKES + (spoke + 1) % _SPOKES
    quads = np.stack([a, a + _SPOKES, b, b, a + _SPOKES, b + _SPOKES], -1)
    return quads.reshape(-1, 3).astype(np.int32)


def _skirt(
    keypoints: NDArray[np.float32], length: float, width: float, flare: float
) -> tuple[NDArray[np.float32], ...]:
    """Positions, normals, rest coordinates [S, 3] of a skirt round both legs; keypoints [17, 3] metres."""
    hips, knees, ankles, shoulders = (keypoints[k : k + 2] for k in (11, 13, 15, 5))
    up = shoulders.mean(0) - hips.mean(0)
    waist = hips + up * 0.22
    stations = np.stack([waist, hips, knees, ankles])  # at 0, 0.3, 1.3, 2.3
    at = np.linspace(0.0, 0.3 + length, _RINGS)
    legs = np.stack(
        [np.interp(at, [0.0, 0.3, 1.3, 2.3], stations[:, s, c]) for s in range(2) for c in range(3)], 1
    ).reshape(_RINGS, 2, 3)
    centre, across = legs.mean(1), legs[:, 0] - legs[:, 1]
    half = np.linalg.norm(across, axis=1, keepdims=True) / 2
    down = knees.mean(0) - hips.mean(0)
    side = hips[0] - hips[1]
    side = side / np.linalg.norm(side)
    front = np.cross(side, down)
    front = front / np.linalg.norm(front)
    angle = np.linspace(0, 2 * np.pi, _SPOKES, endpoint=False)
    radius = (width * (0.75 + 0.25 * np.minimum(at / 0.3, 1.0)) + flare * np.maximum(at - 0.3, 0.0))[:, None, None]
    lean = np.where(half > 1e-6, across / (2 * half + 1e-9), side)[:, None]
    outward = np.cos(angle)[None, :, None] * side + np.sin(angle)[None, :, None] * front
    position = centre[:, None] + np.cos(angle)[None, :, None] * lean * half[:, None] + outward * radius
    rest = np.stack(np.broadcast_arrays(angle[None] * 0.16 - 0.5, 0.0 * angle[None], -0.45 * at[:, None]), -1)
    flat = (a.reshape(-1, 3).astype(np.float32) for a in (position, np.broadcast_to(outward, position.shape), rest))
    return tuple(flat)


class Renderer:
    """Draws the bodies of one mesh topology at one size, twice supersampled."""

    def __init__(self, faces: NDArray[np.int32], vertex_count: int, *, size: int, supersampling: int = 2) -> None:
        self.size, self._wide, self._count = size, size * supersampling, vertex_count
        self._context = moderngl.create_standalone_context(backend="egl")
        self._program = self._context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        shape = (self._wide, self._wide)
        self._target = self._context.framebuffer(
            [self._context.texture(shape, 4)], self._context.depth_renderbuffer(shape)
        )
        total = vertex_count + _RINGS * _SPOKES
        self._buffers = {
            n: self._context.buffer(reserve=total * 12, dynamic=True) for n in ("position", "normal", "rest")
        }
        self._buffers["part"] = self._context.buffer(reserve=total * 4, dynamic=True)
        self._body_indices = faces.size
        indices = self._context.buffer(np.concatenate([faces, _skirt_faces(vertex_count)]).astype(np.int32).tobytes())
        layout = [(b, "1f" if n == "part" else "3f", n) for n, b in self._buffers.items()]
        self._array = self._context.vertex_array(self._program, layout, indices)
        self._texture = self._context.texture((128, 128), 3)
        self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._look: Look | None = None

    @property
    def context(self) -> moderngl.Context:
        """What it draws with, for others that draw the same bodies."""
        return self._context

    def dress(self, look: Look, rest: NDArray[np.float32]) -> None:
        """Set clothes and light for the next drawings; rest [V, 3] of the body that wears them."""
        self._look = look
        skirt_parts = np.full(_RINGS * _SPOKES, PARTS.index("skirt"))
        self._buffers["part"].write(np.concatenate([look.parts, skirt_parts]).astype(np.float32).tobytes())
        self._buffers["rest"].write(np.ascontiguousarray(rest, np.float32).tobytes())
        for name, values in (
            ("first", look.colours), ("second", look.second_colours), ("pattern", look.patterns), ("cuts", look.cuts),
            ("thickness", look.thickness), ("face", look.face), ("light", look.light),
        ):  # fmt: skip
            self._program[name].write(np.ascontiguousarray(values, np.float32).tobytes())
        self._texture.write(look.texture.tobytes())
        self._texture.use(0)

    def draw(
        self,
        vertices: NDArray[np.float16],
        normals: NDArray[np.int8],
        keypoints: NDArray[np.float32],
        clip: NDArray[np.float64],
    ) -> NDArray[np.uint8]:
        """[size, size, 4] RGB (straight, not multiplied with alpha) and alpha of the dressed body seen through clip."""
        if self._look is None:
            raise RuntimeError("draw() before dress()")
        buffers, offset = self._buffers, self._count * 12
        buffers["position"].write(vertices.astype(np.float32).tobytes())
        buffers["normal"].write((normals.astype(np.float32) / 127.0).tobytes())
        indices = self._body_indices
        if self._look.skirt is not None:
            for name, values in zip(("position", "normal", "rest"), _skirt(keypoints, *self._look.skirt), strict=True):
                buffers[name].write(values.tobytes(), offset=offset)
            indices = -1
        self._program["clip"].write(np.ascontiguousarray(clip.T, np.float32).tobytes())
        self._target.use()
        self._context.clear(0, 0, 0, 0)
        self._context.enable(moderngl.DEPTH_TEST)
        self._array.render(vertices=indices)
        wide = np.frombuffer(self._target.read(components=4), np.uint8).reshape(self._wide, self._wide, 4)[::-1]
        out = cv2.resize(wide, (self.size, self.size), interpolation=cv2.INTER_AREA).astype(np.float32)
        out[..., :3] = out[..., :3] * 255.0 / np.maximum(out[..., 3:], 1.0)
        return out.clip(0, 255).astype(np.uint8)
