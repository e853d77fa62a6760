"""Draw the shipped demo, a portrait and a clip of somebody else with sound: `python -m export mannequin demo`."""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from export.mannequin.bodies import Poser, vertex_normals
from export.mannequin.clothes import PARTS, Look, random_look
from export.mannequin.motion import find_clips, load_clip
from export.mannequin.pictures import load_pictures
from export.mannequin.renderer import Renderer
from export.mannequin.scene import camera, place

FRAMES, RATE = 125, 25
SOUND_RATE = 48_000
PORTRAIT = {"gender": 0.9, "age": 0.66, "height": 0.55, "weight": 0.4, "muscle": 0.45, "proportions": 0.6}
DANCER = {"gender": 0.1, "age": 0.7, "height": 0.6, "weight": 0.45, "muscle": 0.6, "proportions": 0.5}


def dressed(
    seed: int,
    rest: NDArray[np.float32],
    bones: NDArray[np.str_],
    *,
    top: tuple[float, ...],
    trousers: tuple[float, ...],
) -> Look:
    """A drawn look with plain clothes of the given colours and a light from the left."""
    look = random_look(np.random.default_rng(seed), rest, bones, load_pictures("train"))
    for names, colour in ((("torso", "upperarm", "lowerarm"), top), (("thigh", "shin"), trousers)):
        for name in names:
            look.colours[PARTS.index(name)] = look.second_colours[PARTS.index(name)] = colour
            look.patterns[PARTS.index(name)] = 0.0
    legs = rest[np.isin(look.parts, [PARTS.index("thigh"), PARTS.index("shin")]), 2]
    look.cuts[:] = [np.quantile(legs, 0.86), look.cuts[1], legs.min() - 1.0, 0.0]  # a shirt to the hip, long trousers
    look.thickness[[PARTS.index("thigh"), PARTS.index("shin")]] = 0.016
    look.colours[PARTS.index("foot")] = look.second_colours[PARTS.index("foot")] = (0.16, 0.13, 0.12)
    look.light[:] = [[-0.45, -0.75, 0.48], [0.8, -0.5, 0.33], [0.42, 0.42, 0.44]]
    look.face[3] = 1.0
    return look


def studio(size: int, wall: tuple[float, ...], floor: tuple[float, ...]) -> NDArray[np.float32]:
    """[size, size, 3] in [0, 255]: a lit wall that runs into a floor."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    glow = np.exp(-((columns - 0.42) ** 2 / 0.22 + (rows - 0.35) ** 2 / 0.3))[..., None]
    mix = (1 / (1 + np.exp(-(rows - 0.80) * 60)))[..., None]
    picture = (np.array(wall) * (0.78 + 0.3 * glow)) * (1 - mix) + np.array(floor) * (
        0.85 + 0.25 * rows[..., None]
    ) * mix
    return picture.clip(0, 255).astype(np.float32)


def _slerp(a: NDArray[np.float64], b: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """A clip frame between two: hinges linear, quaternions along the shorter arc."""
    out = a * (1 - share) + b * share
    for k in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        sign = np.sign(a[k : k + 4] @ b[k : k + 4]) or 1.0
        q = a[k : k + 4] * (1 - share) + sign * b[k : k + 4] * share
        out[k : k + 4] = q / np.linalg.norm(q)
    return out


def clip_at(clip: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """The clip's frame at a time, running to and fro."""
    period = len(clip) - 1
    position = seconds / clip[0, 0] % (2 * period)
    position = min(position if position <= period else 2 * period - position, period - 1e-6)
    return _slerp(clip[int(position)], clip[int(position) + 1], position % 1)


def _bump(seconds: float, start: float, end: float) -> float:
    """0 outside start..end, smoothly up to 1 in its middle."""
    u = (seconds - start) / (end - start)
    return float(np.sin(np.pi * u) ** 2) if 0 < u < 1 else 0.0


def view_at(seconds: float) -> NDArray[np.float64]:
    """[4, 4] clip matrix of the demo: the person turns, comes closer, and leans by 68 degrees and back."""
    yaw = 0.75 * np.sin(2 * np.pi * seconds / 5.0) * (1 - _bump(seconds, 1.6, 4.4))
    near = _bump(seconds, 0.6, 2.2)
    lean = _bump(seconds, 1.8, 4.2)
    return place(0.66 + 0.17 * near, np.radians(-68.0) * lean, 0.10 * lean, -0.04 - 0.04 * near) @ camera(
        yaw, 0.06, 5.0
    )


def bent(frame: NDArray[np.float64], radians: float) -> NDArray[np.float64]:
    """The clip frame with the chest bent forwards."""
    out = frame.copy()
    c, s = np.cos(radians / 2), np.sin(radians / 2)
    w, x, y, z = frame[8:12]
    out[8:12] = [
        w * c + z * s,
        x * c + y * s,
        y * c - x * s,
        z * c - w * s,
    ]  # times a turn about z, the clips' left-right
    return out


def sound() -> NDArray[np.float32]:
    """[2, samples] in [-1, 1]: a soft tone on every half second, to and fro between the ears, and a tick between."""
    time = np.arange(FRAMES * SOUND_RATE // RATE) / SOUND_RATE
    out = np.zeros((2, len(time)))
    for k, pitch in enumerate((220.0, 330.0, 277.2, 440.0, 330.0, 277.2, 370.0, 330.0, 277.2, 220.0)):
        t = time - 0.5 * k
        tone = np.where(
            t >= 0, np.sin(2 * np.pi * pitch * t) * np.exp(-6 * np.abs(t)) * (1 - np.exp(-200 * np.abs(t))), 0
        )
        t = time - 0.5 * k - 0.25
        tick = np.where(t >= 0, np.sin(2 * np.pi * 1900 * t) * np.exp(-90 * np.abs(t)), 0)
        left = 0.5 + 0.4 * np.cos(k * 1.3)
        out += 0.3 * tone * np.array([[left], [1 - left]]) + 0.08 * tick * np.array([[1 - left], [left]])
    return out.astype(np.float32)


def write_clip(path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """H.264 (yuv420p) with AAC stereo."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "21", "preset": "slow"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        audio.bit_rate = 96_000
        samples = sound()
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(video.encode(frame))
            part = np.ascontiguousarray(samples[:, k * SOUND_RATE // RATE : (k + 1) * SOUND_RATE // RATE])
            heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = SOUND_RATE, k * SOUND_RATE // RATE, Fraction(1, SOUND_RATE)
            container.mux(audio.encode(heard))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _on(drawn: NDArray[np.uint8], background: NDArray[np.float32]) -> NDArray[np.uint8]:
    alpha = drawn[..., 3:].astype(np.float32) / 255.0
    size = len(alpha)
    aside = np.array([[1, 0, size / 28], [0, 1, size / 40]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(alpha[..., 0], aside, (size, size)), (0, 0), size / 50)
    ground = background * (1 - 0.25 * shadow[..., None])
    return (drawn[..., :3] * alpha + ground * (1 - alpha)).clip(0, 255).round().astype(np.uint8)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="export mannequin demo", description=__doc__)
    parser.add_argument("--clips", type=Path, help="folder of humanoid3d_*.txt; default: an installed pybullet_data")
    parser.add_argument("--out", type=Path, default=Path("tpc_stream/assets"))
    parser.add_argument("--portrait-size", type=int, default=512)
    parser.add_argument("--clip-size", type=int, default=256)
    parser.add_argument("--portrait-seed", type=int, default=20)
    parser.add_argument("--dancer-seed", type=int, default=5)
    options = parser.parse_args(argv)
    poser, clips = Poser(), find_clips(options.clips)
    walk, dance = load_clip(clips, "walk"), load_clip(clips, "dance_b")

    bones, rest = poser.rest(PORTRAIT)
    vertices, points = poser.pose(PORTRAIT, poser.bone_poses(bones, walk[9])[None])
    renderer = Renderer(poser.faces, len(poser.bones), size=options.portrait_size)
    colours = {"top": (0.72, 0.16, 0.18), "trousers": (0.22, 0.31, 0.48)}
    renderer.dress(dressed(options.portrait_seed, rest, poser.bones, **colours), rest)
    view = place(0.86, 0.0, 0.0, -0.02) @ camera(-0.25, 0.03, 5.0)
    drawn = renderer.draw(vertices[0], vertex_normals(vertices[0], poser.faces), points[0], view)
    portrait = _on(drawn, studio(options.portrait_size, (196, 188, 172), (120, 98, 80)))
    cv2.imwrite(str(options.out / "demo_reference.png"), portrait[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])

    bones, rest = poser.rest(DANCER)
    renderer = Renderer(poser.faces, len(poser.bones), size=options.clip_size)
    colours = {"top": (0.20, 0.42, 0.34), "trousers": (0.62, 0.56, 0.46)}
    renderer.dress(dressed(options.dancer_seed, rest, poser.bones, **colours), rest)
    background, pictures = studio(options.clip_size, (150, 170, 190), (92, 96, 104)), []
    for k in range(FRAMES):
        seconds = k / RATE
        pose = bent(clip_at(dance, 0.6 * seconds), 0.7 * _bump(seconds, 3.9, 5.0))
        vertices, points = poser.pose(DANCER, poser.bone_poses(bones, pose)[None])
        drawn = renderer.draw(vertices[0], vertex_normals(vertices[0], poser.faces), points[0], view_at(seconds))
        pictures.append(_on(drawn, background))
    write_clip(options.out / "demo_motion.mp4", pictures)
    sizes = [(options.out / n).stat().st_size / 1e3 for n in ("demo_reference.png", "demo_motion.mp4")]
    print(f"{options.out}: portrait {sizes[0]:.0f} kB, clip {sizes[1]:.0f} kB")
    return 0
